#!/bin/sh
# Creates or upgrades the tables of the Temporal server in PostgreSQL. Safe to run again; run it with the new version's
# admin-tools before starting a new server. Login from SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD.
set -eu

bring() {
    database=$1
    schema=$2
    tool="temporal-sql-tool --plugin postgres12 --ep $SQL_HOST -p $SQL_PORT -u $SQL_USER --db $database"
    # On an empty database the upgrade fails for want of a version table: that is made first, and only then, because
    # making it again would set an existing schema back to version 0.
    if $tool update-schema -d "$schema"; then
        return
    fi
    $tool setup-schema -v 0.0
    $tool update-schema -d "$schema"
}

bring temporal /etc/temporal/schema/postgresql/v12/temporal/versioned
bring temporal_visibility /etc/temporal/schema/postgresql/v12/visibility/versioned
