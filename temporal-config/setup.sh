#!/bin/sh
# Prepares a Temporal cluster for LabSetu: namespace with its retention, and search attributes. Safe to run again.
#
# Environment: TEMPORAL_ADDRESS (127.0.0.1:7233), TEMPORAL_NAMESPACE (labsetu), TEMPORAL_RETENTION (90d),
# SETUP_DEADLINE_S (120). TLS and API key come from the CLI's own TEMPORAL_* variables.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export TEMPORAL_ADDRESS="${TEMPORAL_ADDRESS:-127.0.0.1:7233}"
namespace="${TEMPORAL_NAMESPACE:-labsetu}"
retention="${TEMPORAL_RETENTION:-90d}"
deadline=$(($(date +%s) + ${SETUP_DEADLINE_S:-120}))
export TEMPORAL_NAMESPACE="$namespace"

# until "<what>" <command>: repeat the command until it succeeds or the deadline passes
until_done() {
    what=$1
    shift
    while ! answer=$("$@" 2>&1); do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            printf 'setup: %s: gave up: %s\n' "$what" "$answer" >&2
            exit 1
        fi
        sleep 1
    done
}

until_done "cluster at $TEMPORAL_ADDRESS" temporal operator cluster health

if temporal operator namespace describe -n "$namespace" >/dev/null 2>&1; then
    until_done "retention of $namespace" temporal operator namespace update -n "$namespace" --retention "$retention"
else
    until_done "namespace $namespace" temporal operator namespace create -n "$namespace" --retention "$retention"
fi

# "Name: Type  # comment" lines; anything else is ignored
sed -n 's/^\([A-Za-z][A-Za-z0-9]*\): *\([A-Za-z]*\).*$/\1 \2/p' "$here/search-attributes.yaml" |
    while read -r name type; do
        # a new namespace is known to the other server roles only after a moment; an attribute that exists is accepted
        until_done "search attribute $name" temporal operator search-attribute create \
            -n "$namespace" --name "$name" --type "$type"
    done

printf 'setup: namespace %s keeps closed runs for %s\n' "$namespace" "$retention"
