#!/bin/sh
# The bucket with its versions, and a user that can reach nothing else. Safe to run again.
set -eu
mc alias set store http://minio:9000 "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" >/dev/null
mc mb --ignore-existing "store/$BUCKET"
mc version enable "store/$BUCKET"
sed "s/BUCKET/$BUCKET/g" "$(dirname -- "$0")/policy.json" >/tmp/policy.json
mc admin policy create store labsetu-documents /tmp/policy.json
mc admin user add store "$ACCESS_KEY" "$SECRET_KEY"
mc admin policy attach store labsetu-documents --user "$ACCESS_KEY" || true # it is attached already
