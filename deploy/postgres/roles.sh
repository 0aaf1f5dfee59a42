#!/bin/sh
# Roles and databases of LabSetu and of Temporal. Safe to run again. Login from PGHOST, PGUSER, PGPASSWORD.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
psql -X -d postgres -f "$here/roles.sql"
psql -X -d postgres -f "$here/temporal.sql"
