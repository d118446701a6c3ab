-- The head of the log: the last checkpoint that was signed, and nothing else. Made by hand, once, by the administrator of
-- its server, best a *small one of its own*, with other people and other backups than the broker's (psql, 16 or newer):
--
--   psql --set ON_ERROR_STOP=1 --file log-head.sql
--
-- Whoever restores an older state of the broker's database, or of the published files, is stopped by what stands here.
-- Then set passwords (\password broker_log_owner, \password broker_sequencer) or, better, let both come in with client
-- certificates. Its one table is made by `broker prepare`, as broker_log_owner (BROKER_LOG_HEAD_OWNER_URL).

CREATE ROLE broker_log_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- There is one already where the broker's own database is on the same server.
SELECT 'CREATE ROLE broker_sequencer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'broker_sequencer') \gexec

CREATE DATABASE broker_log_head OWNER broker_log_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE broker_log_head FROM PUBLIC;
GRANT CONNECT ON DATABASE broker_log_head TO broker_sequencer;

-- A checkpoint that was signed must still be known after a power cut.
ALTER DATABASE broker_log_head SET synchronous_commit = on;
