-- The broker's own database, made by hand, once, by the administrator of its server (psql, PostgreSQL 16 or newer):
--
--   psql --set ON_ERROR_STOP=1 --file broker.sql
--
-- Then set passwords (\password broker_owner, \password broker_app, \password broker_sequencer) or, better, let the roles
-- come in with client certificates (pg_hba.conf: hostssl ... cert). Tables are made by `broker prepare`, as broker_owner.

-- Owns everything and migrates. Its URL is never in the server's environment.
CREATE ROLE broker_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- Serves. What it may do, table by table, is granted by each migration; on evidence only INSERT and SELECT.
CREATE ROLE broker_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- Orders entries into the log (`broker sequencer`): reads evidence and the signing keys, writes positions, nothing else.
CREATE ROLE broker_sequencer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE broker OWNER broker_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE broker FROM PUBLIC;
GRANT CONNECT ON DATABASE broker TO broker_app, broker_sequencer;

-- A commit that was answered must be on disk, here and on the standby that takes over. Do not weaken these.
ALTER DATABASE broker SET synchronous_commit = on;
