# shellcheck shell=bash
# The cluster's certificates and kubeconfigs, made once for each cluster in $ROOT/pki.

ec_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# authority NAME: a certificate that signs others.
authority() {
    ec_key "$PKI/$1.key"
    openssl req -x509 -new -key "$PKI/$1.key" -subj "/CN=loadtest-$1" -days 365 -out "$PKI/$1.crt" \
        -addext keyUsage=keyCertSign,cRLSign
}

# certificate NAME SUBJECT [EXTENSIONS [AUTHORITY]]
certificate() {
    local name=$1 subject=$2 extensions=${3:-"extendedKeyUsage=clientAuth"} authority=${4:-ca}
    ec_key "$PKI/$name.key"
    openssl req -new -key "$PKI/$name.key" -subj "$subject" |
        openssl x509 -req -CA "$PKI/$authority.crt" -CAkey "$PKI/$authority.key" -CAcreateserial -days 365 \
            -extfile <(printf 'keyUsage=digitalSignature\n%s\n' "$extensions") -out "$PKI/$name.crt" 2>/dev/null
}

# kubeconfig NAME FILE: for the client certificate of that name.
kubeconfig() {
    cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: loadtest
contexts:
  - {name: loadtest, context: {cluster: loadtest, user: $1}}
clusters:
  - name: loadtest
    cluster:
      server: $API_URL
      certificate-authority-data: $(base64 -w0 <"$PKI/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 <"$PKI/$1.crt")
      client-key-data: $(base64 -w0 <"$PKI/$1.key")
YAML
    chmod 600 "$2"
}

make_pki() {
    PKI=$ROOT/pki
    if [[ ! -d $PKI ]]; then
        PKI=$ROOT/pki.new
        rm -rf "$PKI"
        (umask 077 && mkdir "$PKI" && make_certificates)
        mv -T "$PKI" "$ROOT/pki"
        PKI=$ROOT/pki
    fi
    kubeconfig admin "$STATE/kubeconfig"
}

make_certificates() {
    local services="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    services+=",DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,DNS:localhost"
    authority ca
    authority front-proxy-ca
    ec_key "$PKI/service-accounts.key"
    openssl ec -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub" 2>/dev/null

    certificate apiserver /CN=kube-apiserver "extendedKeyUsage=serverAuth
subjectAltName=$services,IP:$NODE_IP,IP:$API_SERVICE_IP,IP:127.0.0.1"
    certificate kubelet-server "/CN=$NODE_NAME" "extendedKeyUsage=serverAuth
subjectAltName=DNS:$NODE_NAME,IP:$NODE_IP"
    certificate front-proxy /CN=front-proxy extendedKeyUsage=clientAuth front-proxy-ca
    certificate admin /O=system:masters/CN=admin
    certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate kube-proxy /CN=system:kube-proxy
    certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME"

    local client
    for client in controller-manager scheduler kube-proxy kubelet; do kubeconfig "$client" "$PKI/$client.conf"; done
}
