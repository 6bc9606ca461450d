\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- What CREATE EXTENSION makes, and how it is labelled.
SELECT extname, extversion, extrelocatable FROM pg_extension WHERE extname = 'pg_billing';

CREATE VIEW t.members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
 WHERE x.extname = 'pg_billing' AND d.deptype = 'e';
CREATE VIEW t.functions AS
SELECT p.* FROM pg_proc p JOIN t.members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid;
CREATE VIEW t.relations AS
SELECT c.* FROM pg_class c JOIN t.members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

SELECT c.relkind, c.relname FROM t.relations c WHERE c.relkind IN ('r', 'p', 'v', 'S') ORDER BY c.relname COLLATE "C";

-- Volatile, stable, immutable; parallel safe, restricted, unsafe; SECURITY DEFINER; strict; language.
SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.provolatile AS v, p.proparallel AS p,
       p.prosecdef AS definer, p.proisstrict AS strict, l.lanname AS language
  FROM t.functions p JOIN pg_language l ON l.oid = p.prolang ORDER BY p.proname COLLATE "C";

-- One signature per name: clients that call by name break on overloads.
SELECT proname, count(*) FROM t.functions GROUP BY 1 HAVING count(*) > 1;
-- Whoever runs as the owner, or is written in PL/pgSQL, pins the path.
SELECT proname, proconfig FROM t.functions
 WHERE (prosecdef OR prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')) AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);
-- Everything that stores events waits for a lock only briefly.
SELECT proname FROM t.functions WHERE 'lock_timeout=200ms' = ANY (proconfig) ORDER BY proname COLLATE "C";
-- Nothing without a comment.
SELECT proname FROM t.functions WHERE obj_description(oid, 'pg_proc') IS NULL;
SELECT relname FROM t.relations WHERE relkind IN ('r', 'p', 'v') AND obj_description(oid, 'pg_class') IS NULL
   AND NOT relispartition;
-- Nothing for PUBLIC.
SELECT proname, proacl FROM t.functions WHERE proacl IS NULL
    OR EXISTS (SELECT FROM aclexplode(proacl) a WHERE a.grantee = 0 OR a.grantee <> proowner);
SELECT relname, relacl FROM t.relations
 WHERE EXISTS (SELECT FROM aclexplode(relacl) a WHERE a.grantee = 0 OR a.grantee <> relowner);
-- Dumps carry the rows of every table but the one with secrets.
SELECT c.relname FROM t.relations c WHERE c.relkind IN ('r', 'p', 'S')
   AND c.oid <> ALL ((SELECT extconfig FROM pg_extension WHERE extname = 'pg_billing')::oid[]);
SELECT array_agg(DISTINCT condition) FROM (SELECT unnest(extcondition) AS condition FROM pg_extension WHERE extname = 'pg_billing') c;
-- Install scripts insert no rows.
SELECT (SELECT count(*) FROM billing_settings) + (SELECT count(*) FROM stripe_events) + (SELECT count(*) FROM audit_logs) AS rows;
-- No triggers, no foreign keys, no uniqueness across users: the tables can be distributed.
SELECT tgname FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM t.relations);
SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT oid FROM t.relations);
SELECT c.relname, i.indexrelid::regclass FROM t.relations c JOIN pg_index i ON i.indrelid = c.oid
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id' JOIN pg_attribute f ON f.attrelid = c.oid AND f.attnum = i.indkey[0]
 WHERE i.indisunique AND f.attname <> 'user_id' AND c.relname NOT IN ('stripe_customer_links', 'stripe_requests');
-- Keys compare bytewise, whatever the database's collation is.
SELECT c.relname, a.attname, o.collname FROM t.relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  JOIN pg_collation o ON o.oid = a.attcollation JOIN pg_index i ON i.indrelid = c.oid AND a.attnum = ANY (i.indkey)
 WHERE o.collname <> 'C';

-- A second one is refused, and so is another schema.
SELECT * FROM t.refusal('CREATE EXTENSION pg_billing');
SELECT code, message FROM t.refusal('ALTER EXTENSION pg_billing SET SCHEMA t');
