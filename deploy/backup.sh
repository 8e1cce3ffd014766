#!/bin/sh
# Saves everything that cannot be regenerated into a folder: sh deploy/backup.sh FOLDER
# All containers stop during the backup, so that the data is consistent; then they start again.
# The backup contains people's data and every secret: protect it accordingly.
set -eu
umask 077
folder=$(mkdir -p "${1:?which folder? sh deploy/backup.sh FOLDER}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
project=$(docker compose ps --all --format '{{.Project}}' | head -n 1)
[ -n "$project" ] || { echo "backup: no Attune project found; run it in the folder of docker-compose.yml" >&2; exit 1; }

docker compose stop
trap 'docker compose up --detach --wait' EXIT
for volume in $(docker volume ls --quiet --filter "label=com.docker.compose.project=$project"); do
    name=${volume#"${project}_"}
    case $name in kafka* | mongo* | grafana | prometheus | alertmanager | clinic) ;; *) continue ;; esac
    docker run --rm --user 0 --network none --volume "$volume:/from:ro" attune-jobs \
        tar -C /from -cf - . >"$folder/$name.tar.new"
    mv "$folder/$name.tar.new" "$folder/$name.tar"
    echo "backup: $name, $(du -h "$folder/$name.tar" | cut -f 1)"
done
cp -R secrets "$folder/"
[ ! -e .env ] || cp .env "$folder/"
