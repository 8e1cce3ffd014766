#!/bin/sh
# Restores a backup of deploy/backup.sh into volumes that do not exist yet: sh deploy/restore.sh FOLDER
# Afterwards: docker compose up --detach --wait
set -eu
folder=$(cd "${1:?which folder? sh deploy/restore.sh FOLDER}" && pwd)
cd "$(dirname "$0")/.."
umask 077
if [ ! -d secrets ]; then
    cp -R "$folder/secrets" .
    # Permissions as secrets.sh sets them: the folder keeps other users out, and each container's user can read the files.
    chmod -R go=rX secrets
    chmod 700 secrets
fi
[ -e .env ] || [ ! -e "$folder/.env" ] || cp "$folder/.env" .

docker compose build secrets
docker compose --profile demo create --no-build 2>/dev/null || docker compose --profile demo create --build
project=$(docker compose ps --all --format '{{.Project}}' | head -n 1)
for saved in "$folder"/*.tar; do
    name=$(basename "$saved" .tar)
    volume="${project}_$name"
    run="docker run --rm --interactive --user 0 --network none --volume $volume:/to attune-jobs"
    if [ -n "$($run find /to -mindepth 1 -not -name lost+found -print -quit)" ]; then
        echo "restore: volume $volume already contains data; it was not changed" >&2
        exit 1
    fi
    $run tar -C /to -xf - <"$saved"
    echo "restore: $name"
done
