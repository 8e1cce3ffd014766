#!/bin/sh
# Creates the missing secrets as files in ./secrets: sh deploy/secrets.sh [HOST NAME OF THE GATEWAY]
# Existing secrets are not changed. The only secret that is printed is the staff's password, once, when it is created.
set -eu
cd "$(dirname "$0")/.."
host=${1:-attune.localhost}
command -v openssl >/dev/null || { echo "secrets: openssl is missing; on Debian: apt-get install openssl" >&2; exit 1; }

# The folder keeps other users out. Each container's user must be able to read the files: Docker mounts each one separately.
umask 022
mkdir -p secrets
chmod 700 secrets

make() { # NAME, content on standard input
    cat >"secrets/$1.new"
    mv "secrets/$1.new" "secrets/$1"
    echo "secrets: made $1"
}

for name in mongodb_admin_password intake_mongodb_password sessions_mongodb_password alliance_mongodb_password \
    notify_mongodb_password grafana_admin_password; do
    [ -e "secrets/$name" ] || openssl rand -hex 24 | make "$name"
done
[ -e secrets/mongodb_keyfile ] || openssl rand -base64 96 | make mongodb_keyfile
[ -e secrets/smtp_password ] || : | make smtp_password # put yours there if the mail server requires one
if [ ! -e secrets/gateway_users ]; then
    password=$(openssl rand -hex 12)
    printf 'staff:%s\n' "$(openssl passwd -apr1 "$password")" | make gateway_users
    echo "secrets: gateway user 'staff' has the password $password"
fi
if [ ! -e secrets/tls_key ] && [ ! -e secrets/tls_certificate ]; then
    # Browsers warn of this certificate. Replace it with your own: the whole chain, and its key.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj "/CN=$host" \
        -addext "subjectAltName=DNS:$host,DNS:attune.localhost,DNS:localhost,IP:127.0.0.1" \
        -keyout secrets/tls_key.new -out secrets/tls_certificate.new 2>/dev/null
    chmod 644 secrets/tls_key.new
    mv secrets/tls_key.new secrets/tls_key
    mv secrets/tls_certificate.new secrets/tls_certificate
    echo "secrets: made a self-signed tls_certificate and tls_key for $host"
fi
