#!/bin/sh
# Starts PostgreSQL, after making the database when the data folder is empty.
# POSTGRES_PASSWORD (required then), POSTGRES_USER and POSTGRES_DB as in the upstream image.
set -eu

case ${1:-} in
    '' | -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec "$@" ;;
esac

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    printf '%s\n' "${POSTGRES_PASSWORD:?set it, for the superuser of the new database}" >/tmp/password
    # Without sync: a folder that is half made is made again in the next pod.
    initdb --username="$user" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync --no-instructions
    rm /tmp/password
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    printf "listen_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s" OWNER "%s"\n' "$database" "$user" | postgres --single -D "$PGDATA" postgres
    fi
fi

exec "$@"
