#!/bin/sh
# Makes the secrets that are missing, as files in ./secrets: sh deploy/secrets.sh [HOST NAME OF THE GATEWAY]
# What is there already stays as it is. Nothing is printed but the password of the clinic's staff, once, when it is made.
set -eu
cd "$(dirname "$0")/.."
host=${1:-attune.localhost}
command -v openssl >/dev/null || { echo "secrets: openssl is missing; on Debian: apt-get install openssl" >&2; exit 1; }

# The folder keeps people out. The files must be readable by whoever a container runs as: Docker mounts each by itself.
umask 022
mkdir -p secrets
chmod 700 secrets

make() { # NAME, what it holds on standard input
    cat >"secrets/$1.new"
    mv "secrets/$1.new" "secrets/$1"
    echo "secrets: made $1"
}

for name in mongodb_admin_password intake_mongodb_password sessions_mongodb_password alliance_mongodb_password \
    notify_mongodb_password grafana_admin_password; do
    [ -e "secrets/$name" ] || openssl rand -hex 24 | make "$name"
done
[ -e secrets/mongodb_keyfile ] || openssl rand -base64 96 | make mongodb_keyfile
[ -e secrets/smtp_password ] || : | make smtp_password # yours, where the mail server asks for one
if [ ! -e secrets/gateway_users ]; then
    password=$(openssl rand -hex 12)
    printf 'staff:%s\n' "$(openssl passwd -apr1 "$password")" | make gateway_users
    echo "secrets: at the gateway the clinic's staff are 'staff' with the password $password"
fi
if [ ! -e secrets/tls_key ] && [ ! -e secrets/tls_certificate ]; then
    # Browsers will warn of it. Put your own in its place: the whole chain, and its key.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj "/CN=$host" \
        -addext "subjectAltName=DNS:$host,DNS:attune.localhost,DNS:localhost,IP:127.0.0.1" \
        -keyout secrets/tls_key.new -out secrets/tls_certificate.new 2>/dev/null
    chmod 644 secrets/tls_key.new
    mv secrets/tls_key.new secrets/tls_key
    mv secrets/tls_certificate.new secrets/tls_certificate
    echo "secrets: made tls_certificate and tls_key for $host, which only you trust"
fi
