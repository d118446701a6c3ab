-- The role with which the broker reads the insurance database. Run by the owner of that database's tables (or views of
-- these names, see docs/insurance-database.md), connected to it, who may create roles:
--
--   psql --set ON_ERROR_STOP=1 --dbname insurance --file insurance-reader.sql
--
-- Only SELECT, only these tables, and its sessions are read-only besides.

CREATE ROLE insurance_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
ALTER ROLE insurance_reader SET default_transaction_read_only = on;

REVOKE ALL ON DATABASE insurance FROM PUBLIC;
GRANT CONNECT ON DATABASE insurance TO insurance_reader;
GRANT USAGE ON SCHEMA public TO insurance_reader;
GRANT SELECT ON
    person, contact, household_member, family_member, health_insurance_card, social_insurance, contribution,
    unemployment_period, employer, benefit, bank_account, source_state
TO insurance_reader;
