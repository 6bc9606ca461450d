-- A database that cannot hold every character that Stripe sends is refused before anything is created.
\set SHOW_CONTEXT never
\set database :DBNAME
CREATE DATABASE regress_billing_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE regress_billing_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_billing_latin1
CREATE EXTENSION pg_billing;
SELECT count(*) FROM pg_extension WHERE extname = 'pg_billing';
SELECT count(*) FROM pg_class WHERE relname LIKE 'stripe%' OR relname LIKE 'billing%';
\c regress_billing_ascii
CREATE EXTENSION pg_billing;
\c :database
DROP DATABASE regress_billing_latin1;
DROP DATABASE regress_billing_ascii;
