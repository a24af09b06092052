-- Lets the role voucherpool serve the tables of voucherpool_owner. A repeat sets its password again.
\set ON_ERROR_STOP on
\getenv password SERVICE_PASSWORD
SELECT 'CREATE ROLE voucherpool LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'voucherpool') \gexec
ALTER ROLE voucherpool PASSWORD :'password';
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO voucherpool;
ALTER DEFAULT PRIVILEGES FOR ROLE voucherpool_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO voucherpool;
