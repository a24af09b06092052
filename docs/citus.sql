-- Spreads voucherpool's tables over the machines of a Citus cluster (https://docs.citusdata.com).
--
-- Once, with no request and no worker running, on the coordinator, as the owner of the tables, after
-- `voucherpool db upgrade`; on an empty database or a filled one:
--
--     psql --no-psqlrc --set ON_ERROR_STOP=1 --file docs/citus.sql "$DATABASE_URL"
--
-- This file was never run on Citus. Read "Spreading over machines" in docs/performance.md first: the
-- page says which statements run there, and which are in the way.

BEGIN;
SET LOCAL lock_timeout = '2s';
-- One connection to each machine: foreign keys to reference tables need that, also in a transaction
-- that distributes their tables.
SET LOCAL citus.multi_shard_modify_mode = 'sequential';

-- A table with a foreign key to a reference table becomes a Citus table at once. One with an identity
-- column cannot be distributed after that (citusdata/citus issue 7888).
ALTER TABLE vouchers
    DROP CONSTRAINT vouchers_offer_id_fkey,
    DROP CONSTRAINT vouchers_customer_id_fkey;
ALTER TABLE redemptions
    DROP CONSTRAINT redemptions_code_key_fkey,
    DROP CONSTRAINT redemptions_customer_id_fkey;
ALTER TABLE refused_attempts DROP CONSTRAINT refused_attempts_customer_id_fkey;
ALTER TABLE claims
    DROP CONSTRAINT claims_offer_id_fkey,
    DROP CONSTRAINT claims_customer_id_fkey;
ALTER TABLE offer_counts DROP CONSTRAINT offer_counts_offer_id_fkey;
ALTER TABLE batches DROP CONSTRAINT batches_offer_id_fkey;
ALTER TABLE schedules DROP CONSTRAINT schedules_offer_id_fkey;
ALTER TABLE messages DROP CONSTRAINT messages_customer_id_fkey;
ALTER TABLE reminders DROP CONSTRAINT reminders_customer_id_fkey;
ALTER TABLE reminder_progress DROP CONSTRAINT reminder_progress_offer_id_fkey;
ALTER TABLE opt_outs DROP CONSTRAINT opt_outs_customer_id_fkey;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_webhook_id_fkey;

-- Small, and read in nearly every statement beside the vouchers of any machine.
SELECT create_reference_table('offers');
SELECT create_reference_table('customers');

-- Each transaction that may write an event asks who listens; a message asks who opted out.
SELECT create_reference_table('webhooks');
SELECT create_reference_table('opt_outs');

-- Written by the archive alone, and read beside the vouchers of any machine.
SELECT create_reference_table('customer_totals');
SELECT create_reference_table('archived_totals');

-- One voucher, one machine: what has a code goes where the voucher is, in the archive too.
SELECT create_distributed_table('vouchers', 'code_key', colocate_with => 'none');
SELECT create_distributed_table('redemptions', 'code_key', colocate_with => 'vouchers');
SELECT create_distributed_table('refused_attempts', 'code_key', colocate_with => 'vouchers');
SELECT create_distributed_table('archived_vouchers', 'code_key', colocate_with => 'vouchers');
SELECT create_distributed_table('archived_redemptions', 'code_key', colocate_with => 'vouchers');
SELECT create_distributed_table('events', 'code_key', colocate_with => 'vouchers');
SELECT create_distributed_table('reminders', 'code_key', colocate_with => 'vouchers');

-- Each stands alone: it is found by its key, and joined with nothing.
SELECT create_distributed_table('idempotency_keys', 'key', colocate_with => 'none');
SELECT create_distributed_table('claims', 'claim_ref', colocate_with => 'none');

-- Written with each issue and claim: not a reference table, on which writers would wait.
SELECT create_distributed_table('offer_counts', 'offer_id', colocate_with => 'none');

-- These stay on the coordinator, to which the service connects.
-- Local: api_keys, because each request reads it, and asking another machine would cost time.
-- Local: failed_attempts, which holds one minute; its ON CONFLICT has now(), which Citus does not take.
-- Local: batches, a queue in which workers skip locked rows; its foreign key makes it managed.
-- Local: batch_customers, because the same worker reads it, beside its batch.
-- Local: numbered_events, because one worker at a time numbers events, and readers follow the numbers.
-- Local: deliveries, a queue beside the numbered events; its foreign key makes it managed.
-- Local: messages, a queue like that; its foreign key makes it managed.
-- Local: reminder_progress, one row for each offer and number of days; its foreign key makes it managed.
-- Local: schedules, in which workers skip locked rows; its foreign key makes it managed.
-- Local: schedule_runs, beside its schedule and its batch.

ALTER TABLE vouchers
    ADD CONSTRAINT vouchers_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE vouchers
    ADD CONSTRAINT vouchers_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE redemptions
    ADD CONSTRAINT redemptions_code_key_fkey FOREIGN KEY (code_key) REFERENCES vouchers (code_key);
ALTER TABLE redemptions
    ADD CONSTRAINT redemptions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE refused_attempts
    ADD CONSTRAINT refused_attempts_customer_id_fkey
    FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE claims
    ADD CONSTRAINT claims_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE claims
    ADD CONSTRAINT claims_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE offer_counts
    ADD CONSTRAINT offer_counts_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE batches
    ADD CONSTRAINT batches_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE schedules
    ADD CONSTRAINT schedules_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE messages
    ADD CONSTRAINT messages_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE reminders
    ADD CONSTRAINT reminders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE reminder_progress
    ADD CONSTRAINT reminder_progress_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers (id);
ALTER TABLE opt_outs
    ADD CONSTRAINT opt_outs_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE deliveries
    ADD CONSTRAINT deliveries_webhook_id_fkey
    FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE;

COMMIT;
