-- What a decision cannot do without, and nothing else: one transaction with an update, its history, a record and an
-- outbox row. A service that did this in no time of its own would be exactly as fast as pgbench with this script.
\set id random(1, 20000)
BEGIN;
UPDATE request SET state = 'approved', version = version + 1 WHERE id = :id;
INSERT INTO role (request_id, at, what) VALUES (:id, now(), 'approve');
INSERT INTO audit (actor, act, subject, at) VALUES (:id, 'decide_approve', :id, now());
INSERT INTO outbox (topic, key, body) VALUES ('iacs.approval.v1', :id, repeat('x', 700));
END;
