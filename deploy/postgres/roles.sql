-- Roles and database of LabSetu; safe to run again. Read by psql as superuser with these in its environment:
-- LABSETU_OWNER_PASSWORD, LABSETU_APP_PASSWORD, LABSETU_DATABASE_NAME.
-- What the app role may do with each table is granted by the migrations, table by table.
\set ON_ERROR_STOP on
\set QUIET on
\getenv owner_password LABSETU_OWNER_PASSWORD
\getenv app_password LABSETU_APP_PASSWORD
\getenv database LABSETU_DATABASE_NAME

-- passwords must not reach the server log
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';

-- owns the schema and runs migrations
SELECT 'CREATE ROLE labsetu_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labsetu_owner') \gexec
ALTER ROLE labsetu_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE labsetu_owner SET lock_timeout = '2s';

-- what the API, the worker and the listener log in as; bound by row-level security
SELECT 'CREATE ROLE labsetu_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labsetu_app') \gexec
ALTER ROLE labsetu_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
ALTER ROLE labsetu_app SET statement_timeout = '5s';
ALTER ROLE labsetu_app SET lock_timeout = '2s';
ALTER ROLE labsetu_app SET idle_in_transaction_session_timeout = '10s';

SELECT format('CREATE DATABASE %I OWNER labsetu_owner', :'database')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'database') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO labsetu_app', :'database') \gexec

\connect :"database"
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO labsetu_app;
