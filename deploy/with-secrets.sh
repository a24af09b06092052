# Runs a command with secrets in its environment, where no `docker inspect` shows them:
#   sh with-secrets.sh VARIABLE=secret … -- command …
# A secret that is empty or cannot be read stops it.
set -eu
while [ "$1" != -- ]; do
    secret=${1#*=}
    value=$(cat "/run/secrets/$secret") && [ -n "$value" ] || {
        echo "Error: the secret $secret is empty, or user $(id -u) cannot read it:" \
            "deploy/docker-compose.yml says how to make it." >&2
        exit 1
    }
    export "${1%%=*}=$value"
    shift
done
shift
exec "$@"
