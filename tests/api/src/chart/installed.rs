//! An installation of the chart in namespaces of its own.

use std::{panic::resume_unwind, process::Output};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace as NamespaceObject, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use test_support::{Namespace, cluster::ROOT, program, program::printed, run};

/// What is installed, and where.
#[derive(Clone)]
pub struct Installed {
    pub client: Client,
    /// The name of the installation and of the operator's account.
    pub name: String,
    pub system: String,
    /// Served, with the fault accounts `killer` (made by the chart) and `ready-made` (not made).
    pub runs: String,
    /// Served, without fault accounts.
    pub more_runs: String,
    /// Where `killer` may kill.
    pub target: String,
    /// None of the operator's business; `killer` may watch its pods.
    pub outside: String,
}

impl Installed {
    /// The operator as the API server knows it.
    pub fn operator(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.system, self.name)
    }

    pub fn killer(&self) -> String {
        format!("system:serviceaccount:{}:killer", self.runs)
    }

    /// A client with a token of the operator's own, acting as another user.
    pub async fn as_operator_impersonating(&self, user: &str) -> Client {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.system);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token =
            accounts.create_token_request(&self.name, &PostParams::default(), &request).await.unwrap();
        let mut config = test_support::config().await;
        config.auth_info = kube::config::AuthInfo {
            token: Some(token.status.unwrap().token.into()),
            impersonate: Some(user.to_owned()),
            ..kube::config::AuthInfo::default()
        };
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }

    pub fn upgrade(&self, more: &[&str]) -> Output {
        let values = format!(
            "{{namespaces: [{runs}, {more_runs}], replicas: 0, \
             loadStore: {{enabled: false, queryURL: http://s, writeURL: http://s}}, faultAccounts: [\
             {{namespace: {runs}, name: killer, targets: [{target}], watches: [{outside}]}}, \
             {{namespace: {runs}, name: ready-made, create: false}}]}}",
            runs = self.runs,
            more_runs = self.more_runs,
            target = self.target,
            outside = self.outside,
        );
        let values: serde_json::Value = serde_saphyr::from_str(&values).unwrap();
        let values: Vec<_> = values
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| format!("--set-json={key}={value}"))
            .collect();
        let chart = format!("{ROOT}/charts/loadtest-operator");
        let mut command = program("helm");
        command.args([
            "upgrade",
            "--install",
            "--skip-crds",
            "--namespace",
            &self.system,
            &self.name,
            &chart,
        ]);
        run(command.args(values).args(more))
    }
}

/// Installs the chart, runs the test, and leaves nothing behind, however the test ends.
pub async fn with_chart<F>(test: impl FnOnce(Installed) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let client = test_support::client().await;
    test_support::install_crd(&client).await;
    let mut namespaces = Vec::new();
    for prefix in ["chart-system", "chart-runs", "chart-more", "chart-target", "chart-outside"] {
        namespaces.push(Namespace::create(&client, prefix, &[]).await.name);
    }
    let [system, runs, more_runs, target, outside] = namespaces.clone().try_into().unwrap();
    let name = format!("loadtest-operator-{}", system.rsplit('-').next().unwrap());
    let installed = Installed { client: client.clone(), name, system, runs, more_runs, target, outside };
    let (this, test) = (installed.clone(), test(installed.clone()));
    let result = tokio::spawn(async move {
        let output = this.upgrade(&[]);
        assert!(output.status.success(), "{}", printed(&output));
        test.await;
    })
    .await;
    let mut uninstall = program("helm");
    let gone = run(uninstall.args(["uninstall", "--namespace", &installed.system, &installed.name]));
    let api: Api<NamespaceObject> = Api::all(client);
    for namespace in namespaces {
        let _ = api.delete(&namespace, &DeleteParams::background()).await;
    }
    if let Err(error) = result {
        resume_unwind(error.into_panic());
    }
    assert!(gone.status.success(), "{}", printed(&gone));
}
