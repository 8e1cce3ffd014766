#!/bin/sh
# Saves all that cannot be made again into a folder: sh deploy/backup.sh FOLDER
# Everything stops for as long as that takes, so that what is saved belongs together; then it starts again.
# What is saved holds people's data and every secret: keep it as you keep those.
set -eu
umask 077
folder=$(mkdir -p "${1:?which folder? sh deploy/backup.sh FOLDER}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
project=$(docker compose ps --all --format '{{.Project}}' | head -n 1)
[ -n "$project" ] || { echo "backup: nothing of Attune is here; run it where docker-compose.yml is" >&2; exit 1; }

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
