"""The whole schema: domains, tables and their indexes."""

from alembic import op

revision = "0001"
down_revision = None

schema = r"""
    CREATE DOMAIN positive_count AS BIGINT CONSTRAINT positive_count_check CHECK (VALUE > 0);

    CREATE DOMAIN positive_amount AS NUMERIC CONSTRAINT positive_amount_check CHECK (VALUE > 0);

    CREATE DOMAIN moment_or_never AS TIMESTAMP WITH TIME ZONE CONSTRAINT moment_or_never_check CHECK
            (VALUE > '-infinity');

    CREATE DOMAIN reference AS TEXT CONSTRAINT reference_check CHECK (VALUE <> '');

    CREATE DOMAIN spelled_code AS TEXT CONSTRAINT spelled_code_check CHECK (VALUE ~
            '^[ -]*([0-9A-Za-z_.%&@+][ -]*){1,64}$');

    CREATE DOMAIN holds AS JSONB CONSTRAINT holds_check CHECK (jsonb_typeof(VALUE) = 'object' AND
            VALUE <> '{}');

    CREATE TABLE customers (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        email TEXT,
        email_key TEXT,
        name TEXT,
        language TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        former_emails TEXT[] DEFAULT '{}' NOT NULL,
        erased_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT customers_pkey PRIMARY KEY (id),
        CONSTRAINT customers_email_check CHECK (email <> '' AND email_key <> ''),
        CONSTRAINT customers_name_check CHECK (name <> ''),
        CONSTRAINT customers_language_check CHECK (language ~ '^[a-z]{2}$'),
        CONSTRAINT customers_erased_at_check CHECK (CASE WHEN erased_at IS NULL THEN
            num_nulls(email, email_key) = 0 ELSE num_nonnulls(email, email_key, name) = 0 AND
            former_emails = '{}' END),
        CONSTRAINT customers_email_key_key UNIQUE (email_key)
    );

    CREATE TABLE offers (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        discount NUMERIC NOT NULL,
        discount_type TEXT DEFAULT 'percentage' NOT NULL,
        currency TEXT,
        currency_decimals BIGINT DEFAULT '2' NOT NULL,
        min_order_amount NUMERIC,
        max_discount_amount NUMERIC,
        starts_at TIMESTAMP WITH TIME ZONE,
        ends_at TIMESTAMP WITH TIME ZONE,
        max_redemptions_per_customer BIGINT,
        max_redemptions BIGINT,
        max_discount_total NUMERIC,
        max_claims_per_customer BIGINT,
        reminder_days BIGINT[],
        pool_low_at BIGINT,
        currency_optional BOOLEAN DEFAULT false NOT NULL,
        discount_locked BOOLEAN DEFAULT false NOT NULL,
        metadata JSONB,
        pool_is_low BOOLEAN DEFAULT false NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT offers_pkey PRIMARY KEY (id),
        CONSTRAINT offers_name_check CHECK (name <> '' AND length(name) <= 200),
        CONSTRAINT offers_discount_type_check CHECK (discount_type IN ('percentage',
            'fixed_amount')),
        CONSTRAINT offers_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT offers_currency_needed_check CHECK (discount_type = 'percentage' OR currency IS
            NOT NULL),
        CONSTRAINT offers_currency_decimals_check CHECK (currency_decimals BETWEEN 0 AND 4),
        CONSTRAINT offers_discount_range_check CHECK (discount > 0 AND (discount <= 100 OR
            discount_type = 'fixed_amount')),
        CONSTRAINT offers_discount_scale_check CHECK (discount = round(discount, CASE discount_type
            WHEN 'percentage' THEN 2 ELSE currency_decimals::integer END)),
        CONSTRAINT offers_min_order_amount_check CHECK (min_order_amount > 0),
        CONSTRAINT offers_max_discount_amount_check CHECK (max_discount_amount > 0),
        CONSTRAINT offers_window_check CHECK (starts_at < ends_at),
        CONSTRAINT offers_max_redemptions_per_customer_check CHECK (max_redemptions_per_customer >
            0),
        CONSTRAINT offers_max_redemptions_check CHECK (max_redemptions > 0),
        CONSTRAINT offers_max_discount_total_check CHECK (max_discount_total > 0),
        CONSTRAINT offers_budget_currency_check CHECK (max_discount_total IS NULL OR currency IS NOT
            NULL),
        CONSTRAINT offers_reminder_days_check CHECK (cardinality(reminder_days) > 0 AND 0 <
            ALL(reminder_days)),
        CONSTRAINT offers_max_claims_per_customer_check CHECK (max_claims_per_customer > 0),
        CONSTRAINT offers_pool_low_at_check CHECK (pool_low_at > 0),
        CONSTRAINT offers_name_key UNIQUE (name)
    );

    CREATE INDEX offers_limited_idx ON offers (id) WHERE max_redemptions_per_customer IS NOT NULL;

    CREATE TABLE archived_vouchers (
        code_key TEXT NOT NULL,
        code spelled_code NOT NULL,
        issue_number BIGINT NOT NULL,
        offer_id BIGINT NOT NULL,
        customer_id BIGINT,
        starts_at TIMESTAMP WITH TIME ZONE,
        expires_at moment_or_never NOT NULL,
        max_redemptions positive_count NOT NULL,
        redemption_count BIGINT NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        was_redeemed BOOLEAN,
        frozen_discount positive_amount,
        disabled_at TIMESTAMP WITH TIME ZONE,
        holds holds,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        claimed_at TIMESTAMP WITH TIME ZONE,
        is_chosen BOOLEAN,
        valid_for INTERVAL,
        batch_id BIGINT,
        archived_at TIMESTAMP WITH TIME ZONE NOT NULL
    )
     PARTITION BY RANGE (archived_at);

    CREATE INDEX archived_vouchers_code_key_idx ON archived_vouchers (code_key);

    CREATE INDEX archived_vouchers_chosen_idx ON archived_vouchers (code_key) WHERE is_chosen;

    CREATE INDEX archived_vouchers_customer_idx ON archived_vouchers (customer_id, expires_at,
            issue_number);

    CREATE INDEX archived_vouchers_offer_idx ON archived_vouchers (offer_id, expires_at,
            issue_number);

    CREATE INDEX archived_vouchers_batch_idx ON archived_vouchers (batch_id, issue_number);

    CREATE TABLE archived_redemptions (
        code_key TEXT NOT NULL,
        id UUID NOT NULL,
        customer_id BIGINT,
        offer_id BIGINT NOT NULL,
        order_ref reference,
        discount positive_amount NOT NULL,
        discount_type TEXT NOT NULL,
        currency TEXT,
        order_amount NUMERIC,
        discount_amount NUMERIC,
        redeemed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        reversed_at TIMESTAMP WITH TIME ZONE,
        metadata JSONB,
        kind TEXT,
        archived_at TIMESTAMP WITH TIME ZONE NOT NULL
    )
     PARTITION BY RANGE (archived_at);

    CREATE INDEX archived_redemptions_customer_id_redeemed_at_id_idx ON archived_redemptions
            (customer_id, redeemed_at, id);

    CREATE INDEX archived_redemptions_id_idx ON archived_redemptions (id);

    CREATE INDEX archived_redemptions_order_ref_idx ON archived_redemptions (order_ref) WHERE
            order_ref IS NOT NULL;

    CREATE INDEX archived_redemptions_code_key_idx ON archived_redemptions (code_key);

    CREATE INDEX archived_redemptions_offer_id_redeemed_at_idx ON archived_redemptions (offer_id,
            redeemed_at);

    CREATE INDEX archived_redemptions_offer_id_reversed_at_idx ON archived_redemptions (offer_id,
            reversed_at) WHERE reversed_at IS NOT NULL;

    CREATE TABLE archived_totals (
        offer_id BIGINT NOT NULL,
        day DATE NOT NULL,
        currency TEXT NOT NULL,
        redeemed BIGINT NOT NULL,
        discounted NUMERIC NOT NULL,
        reversed BIGINT NOT NULL,
        given_back NUMERIC NOT NULL,
        turnover NUMERIC NOT NULL,
        turnover_given_back NUMERIC NOT NULL,
        used_up BIGINT NOT NULL,
        expired BIGINT NOT NULL,
        CONSTRAINT archived_totals_pkey PRIMARY KEY (offer_id, day, currency)
    );

    CREATE TABLE customer_totals (
        customer_id BIGINT NOT NULL,
        offer_id BIGINT NOT NULL,
        redemption_count BIGINT NOT NULL,
        CONSTRAINT customer_totals_pkey PRIMARY KEY (customer_id, offer_id)
    );

    CREATE TABLE events (
        code_key TEXT NOT NULL,
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        type TEXT NOT NULL,
        customer_id BIGINT,
        announced BOOLEAN DEFAULT false NOT NULL,
        data JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT events_pkey PRIMARY KEY (code_key, id)
    );

    CREATE INDEX events_created_at_idx ON events (created_at);

    CREATE TABLE idempotency_keys (
        key TEXT NOT NULL,
        scope TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        status BIGINT,
        body TEXT,
        customer_ids BIGINT[],
        used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, scope),
        CONSTRAINT idempotency_keys_key_check CHECK (key ~ '^[!-~]{1,255}$'),
        CONSTRAINT idempotency_keys_fingerprint_check CHECK (octet_length(fingerprint) = 32),
        CONSTRAINT idempotency_keys_status_check CHECK (status BETWEEN 200 AND 299)
    );

    CREATE INDEX idempotency_keys_used_at_idx ON idempotency_keys (used_at);

    CREATE INDEX idempotency_keys_customer_ids_idx ON idempotency_keys USING gin (customer_ids)
            WHERE customer_ids IS NOT NULL;

    CREATE TABLE failed_attempts (
        subject BYTEA NOT NULL,
        failed_count BIGINT NOT NULL,
        attempt_limit BIGINT NOT NULL,
        since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT failed_attempts_pkey PRIMARY KEY (subject),
        CONSTRAINT failed_attempts_subject_check CHECK (octet_length(subject) = 32),
        CONSTRAINT failed_attempts_failed_count_check CHECK (failed_count > 0)
    );

    CREATE INDEX failed_attempts_over_limit_idx ON failed_attempts (since) WHERE failed_count >=
            attempt_limit;

    CREATE TABLE numbered_events (
        number BIGINT GENERATED ALWAYS AS IDENTITY,
        id UUID NOT NULL,
        type TEXT NOT NULL,
        customer_id BIGINT,
        data JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        numbered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT numbered_events_pkey PRIMARY KEY (number),
        CONSTRAINT numbered_events_id_key UNIQUE (id)
    );

    CREATE INDEX numbered_events_numbered_at_idx ON numbered_events (numbered_at);

    CREATE TABLE webhooks (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        url TEXT NOT NULL,
        event_types TEXT[] NOT NULL,
        secret BYTEA NOT NULL,
        previous_secret BYTEA,
        previous_until TIMESTAMP WITH TIME ZONE,
        active_from TIMESTAMP WITH TIME ZONE NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        failing_since TIMESTAMP WITH TIME ZONE,
        disabled_at TIMESTAMP WITH TIME ZONE,
        disabled_reason TEXT,
        parks_through BIGINT,
        deleted_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT webhooks_pkey PRIMARY KEY (id),
        CONSTRAINT webhooks_event_types_check CHECK (cardinality(event_types) > 0),
        CONSTRAINT webhooks_previous_secret_check CHECK ((previous_secret IS NULL) =
            (previous_until IS NULL)),
        CONSTRAINT webhooks_disabled_at_check CHECK ((disabled_at IS NULL) = (disabled_reason IS
            NULL))
    );

    CREATE TABLE api_keys (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        digest BYTEA NOT NULL,
        scopes TEXT[] NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        last_used_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT api_keys_pkey PRIMARY KEY (id),
        CONSTRAINT api_keys_digest_check CHECK (octet_length(digest) = 32),
        CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) > 0 AND scopes <@
            ARRAY['issue', 'redeem', 'read', 'support', 'admin', 'metrics']),
        CONSTRAINT api_keys_name_key UNIQUE (name),
        CONSTRAINT api_keys_digest_key UNIQUE (digest)
    );

    CREATE TABLE console_users (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        email TEXT NOT NULL,
        email_key TEXT NOT NULL,
        role TEXT NOT NULL,
        password TEXT,
        session_token TEXT NOT NULL,
        link_digest BYTEA,
        link_until TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        signed_in_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT console_users_pkey PRIMARY KEY (id),
        CONSTRAINT console_users_email_check CHECK (email <> '' AND email_key <> ''),
        CONSTRAINT console_users_role_check CHECK (role IN ('support', 'marketing', 'admin')),
        CONSTRAINT console_users_link_digest_check CHECK (octet_length(link_digest) = 32),
        CONSTRAINT console_users_link_until_check CHECK ((link_digest IS NULL) = (link_until IS
            NULL)),
        CONSTRAINT console_users_email_key_key UNIQUE (email_key),
        CONSTRAINT console_users_session_token_key UNIQUE (session_token),
        CONSTRAINT console_users_link_digest_key UNIQUE (link_digest)
    );

    CREATE TABLE audit_log (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        api_key_id BIGINT,
        api_key TEXT,
        actor TEXT,
        request_id TEXT,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        subject_id TEXT NOT NULL,
        before JSONB,
        after JSONB,
        reason TEXT,
        CONSTRAINT audit_log_pkey PRIMARY KEY (id),
        CONSTRAINT audit_log_actor_check CHECK (actor <> ''),
        CONSTRAINT audit_log_reason_check CHECK (reason <> '')
    );

    CREATE INDEX audit_log_created_at_id_idx ON audit_log (created_at, id);
    CREATE INDEX audit_log_subject_idx ON audit_log (subject, subject_id, created_at, id);
    CREATE INDEX audit_log_action_idx ON audit_log (action, created_at, id);
    CREATE INDEX audit_log_actor_idx ON audit_log (actor, created_at, id);
    CREATE INDEX audit_log_api_key_id_idx ON audit_log (api_key_id, created_at, id);

    CREATE TABLE offer_counts (
        offer_id BIGINT NOT NULL,
        day DATE NOT NULL,
        slot BIGINT NOT NULL,
        issued BIGINT DEFAULT '0' NOT NULL,
        claimed BIGINT DEFAULT '0' NOT NULL,
        CONSTRAINT offer_counts_pkey PRIMARY KEY (offer_id, day, slot),
        CONSTRAINT offer_counts_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON DELETE
            CASCADE
    );

    CREATE TABLE offer_budgets (
        offer_id BIGINT NOT NULL,
        redemption_count BIGINT,
        discount_total NUMERIC,
        recount_at TIMESTAMP WITH TIME ZONE,
        noted_percent BIGINT DEFAULT '0' NOT NULL,
        CONSTRAINT offer_budgets_pkey PRIMARY KEY (offer_id),
        CONSTRAINT offer_budgets_counts_check CHECK (redemption_count >= 0 AND discount_total >= 0
            AND (redemption_count IS NULL) = (discount_total IS NULL)),
        CONSTRAINT offer_budgets_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON
            DELETE CASCADE
    )
     WITH (fillfactor = 10);

    CREATE TABLE budget_holds (
        offer_id BIGINT NOT NULL,
        code_key TEXT NOT NULL,
        customer_id BIGINT NOT NULL,
        hold_id TEXT NOT NULL,
        held_until TIMESTAMP WITH TIME ZONE NOT NULL,
        amount NUMERIC,
        CONSTRAINT budget_holds_pkey PRIMARY KEY (offer_id, code_key, customer_id)
    );

    CREATE INDEX budget_holds_offer_id_held_until_idx ON budget_holds (offer_id, held_until);

    CREATE TABLE vouchers (
        code_key TEXT NOT NULL,
        code spelled_code NOT NULL,
        issue_number BIGINT GENERATED ALWAYS AS IDENTITY,
        offer_id BIGINT NOT NULL,
        customer_id BIGINT,
        starts_at TIMESTAMP WITH TIME ZONE,
        expires_at moment_or_never NOT NULL,
        max_redemptions positive_count DEFAULT '1' NOT NULL,
        redemption_count BIGINT DEFAULT '0' NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        was_redeemed BOOLEAN,
        frozen_discount positive_amount,
        disabled_at TIMESTAMP WITH TIME ZONE,
        holds holds,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        claimed_at TIMESTAMP WITH TIME ZONE,
        is_chosen BOOLEAN,
        valid_for INTERVAL,
        batch_id BIGINT,
        CONSTRAINT vouchers_pkey PRIMARY KEY (code_key),
        CONSTRAINT vouchers_uses_check CHECK (redemption_count BETWEEN 0 AND max_redemptions AND
            (used_at IS NOT NULL) = (redemption_count = max_redemptions) AND (claimed_at IS NULL OR
            customer_id IS NOT NULL)),
        CONSTRAINT vouchers_code_check CHECK (code_key = translate(upper(translate(code, ' -', '')
            COLLATE "C"), 'OIL', '011')),
        CONSTRAINT vouchers_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id),
        CONSTRAINT vouchers_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    )
     WITH (autovacuum_vacuum_scale_factor = 0.02);

    CREATE INDEX vouchers_redeemable_idx ON vouchers (customer_id, expires_at, issue_number) WHERE
            used_at IS NULL;

    CREATE INDEX vouchers_used_up_idx ON vouchers (offer_id) WHERE used_at IS NOT NULL;

    CREATE INDEX vouchers_holds_idx ON vouchers USING gin (holds) WHERE holds IS NOT NULL;

    CREATE INDEX vouchers_unused_idx ON vouchers (offer_id, expires_at) WHERE used_at IS NULL;

    CREATE INDEX vouchers_chosen_idx ON vouchers (code_key) WHERE is_chosen;

    CREATE INDEX vouchers_batch_idx ON vouchers (batch_id, issue_number) WHERE batch_id IS NOT NULL;

    CREATE INDEX vouchers_claimable_idx ON vouchers (offer_id, expires_at, issue_number) WHERE
            customer_id IS NULL AND used_at IS NULL AND was_redeemed IS NULL AND disabled_at IS
            NULL;

    CREATE TABLE refused_attempts (
        code_key TEXT NOT NULL,
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        customer_id BIGINT,
        reason TEXT NOT NULL,
        action TEXT,
        order_ref TEXT,
        attempted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT refused_attempts_pkey PRIMARY KEY (code_key, id),
        CONSTRAINT refused_attempts_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers
            (id)
    );

    CREATE INDEX refused_attempts_attempted_at_idx ON refused_attempts (attempted_at);

    CREATE TABLE batches (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        offer_id BIGINT NOT NULL,
        requested BIGINT NOT NULL,
        created BIGINT DEFAULT '0' NOT NULL,
        expires_at moment_or_never NOT NULL,
        max_redemptions BIGINT NOT NULL,
        pattern TEXT NOT NULL,
        frozen_discount NUMERIC,
        valid_for TEXT,
        per_customer BIGINT,
        announced BOOLEAN DEFAULT false NOT NULL,
        metadata JSONB,
        state TEXT DEFAULT 'pending' NOT NULL,
        error TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        finished_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT batches_pkey PRIMARY KEY (id),
        CONSTRAINT batches_requested_check CHECK (requested BETWEEN 1 AND 5000000),
        CONSTRAINT batches_created_check CHECK (created BETWEEN 0 AND requested),
        CONSTRAINT batches_max_redemptions_check CHECK (max_redemptions > 0),
        CONSTRAINT batches_pattern_check CHECK (pattern ~ '^[#0-9A-Za-z -]{10,80}$'),
        CONSTRAINT batches_frozen_discount_check CHECK (frozen_discount > 0),
        CONSTRAINT batches_valid_for_check CHECK (CAST(valid_for AS interval) > interval '0'),
        CONSTRAINT batches_per_customer_check CHECK (per_customer > 0),
        CONSTRAINT batches_state_check CHECK (state IN ('pending', 'running', 'done', 'failed',
            'cancelled')),
        CONSTRAINT batches_done_check CHECK ((state = 'done') = (created = requested)),
        CONSTRAINT batches_failed_check CHECK ((state = 'failed') = (error IS NOT NULL)),
        CONSTRAINT batches_finished_at_check CHECK ((state IN ('done', 'failed', 'cancelled')) =
            (finished_at IS NOT NULL)),
        CONSTRAINT batches_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON DELETE
            CASCADE
    );

    CREATE INDEX batches_offer_id_id_idx ON batches (offer_id, id);

    CREATE INDEX batches_unfinished_idx ON batches (created, id) WHERE finished_at IS NULL;

    CREATE TABLE replays (
        webhook_id BIGINT NOT NULL,
        next_number BIGINT NOT NULL,
        last_number BIGINT NOT NULL,
        CONSTRAINT replays_pkey PRIMARY KEY (webhook_id),
        CONSTRAINT replays_webhook_id_fkey FOREIGN KEY(webhook_id) REFERENCES webhooks (id) ON
            DELETE CASCADE
    );

    CREATE TABLE deliveries (
        webhook_id BIGINT NOT NULL,
        event_number BIGINT NOT NULL,
        state TEXT DEFAULT 'waiting' NOT NULL,
        attempts BIGINT DEFAULT '0' NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        attempted_at TIMESTAMP WITH TIME ZONE,
        status BIGINT,
        error TEXT,
        finished_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT deliveries_pkey PRIMARY KEY (webhook_id, event_number),
        CONSTRAINT deliveries_state_check CHECK (state IN ('waiting', 'delivered', 'parked',
            'cancelled')),
        CONSTRAINT deliveries_finished_at_check CHECK ((state = 'waiting') = (finished_at IS NULL)),
        CONSTRAINT deliveries_attempts_check CHECK (attempts >= 0),
        CONSTRAINT deliveries_webhook_id_fkey FOREIGN KEY(webhook_id) REFERENCES webhooks (id) ON
            DELETE CASCADE
    );

    CREATE INDEX deliveries_due_idx ON deliveries (webhook_id, due_at) WHERE state = 'waiting';

    CREATE TABLE messages (
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        kind TEXT NOT NULL,
        customer_id BIGINT NOT NULL,
        batch_id BIGINT,
        code_key TEXT,
        state TEXT DEFAULT 'waiting' NOT NULL,
        attempts BIGINT DEFAULT '0' NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT messages_pkey PRIMARY KEY (id),
        CONSTRAINT messages_kind_check CHECK (kind IN ('issued', 'expiring')),
        CONSTRAINT messages_state_check CHECK (state IN ('waiting', 'sent', 'parked', 'skipped')),
        CONSTRAINT messages_finished_at_check CHECK ((state = 'waiting') = (finished_at IS NULL)),
        CONSTRAINT messages_attempts_check CHECK (attempts >= 0),
        CONSTRAINT messages_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE UNIQUE INDEX messages_batch_id_customer_id_key ON messages (batch_id, customer_id) WHERE
            batch_id IS NOT NULL;

    CREATE UNIQUE INDEX messages_expiring_key ON messages (customer_id) WHERE kind = 'expiring' AND
            state = 'waiting' AND attempts = 0;

    CREATE INDEX messages_customer_id_idx ON messages (customer_id);

    CREATE UNIQUE INDEX messages_code_key_key ON messages (code_key) WHERE code_key IS NOT NULL;

    CREATE INDEX messages_due_idx ON messages (due_at) WHERE state = 'waiting';

    CREATE TABLE reminders (
        code_key TEXT NOT NULL,
        days_before BIGINT NOT NULL,
        customer_id BIGINT NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        message_id UUID,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT reminders_pkey PRIMARY KEY (code_key, days_before),
        CONSTRAINT reminders_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE INDEX reminders_customer_id_idx ON reminders (customer_id) WHERE message_id IS NULL;

    CREATE INDEX reminders_message_id_idx ON reminders (message_id);

    CREATE TABLE reminder_progress (
        offer_id BIGINT NOT NULL,
        days_before BIGINT NOT NULL,
        expires_until TIMESTAMP WITH TIME ZONE NOT NULL,
        issue_number BIGINT DEFAULT '0' NOT NULL,
        CONSTRAINT reminder_progress_pkey PRIMARY KEY (offer_id, days_before),
        CONSTRAINT reminder_progress_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON
            DELETE CASCADE
    );

    CREATE TABLE opt_outs (
        customer_id BIGINT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT opt_outs_pkey PRIMARY KEY (customer_id),
        CONSTRAINT opt_outs_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE TABLE schedules (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        offer_id BIGINT NOT NULL,
        cron TEXT NOT NULL,
        timezone TEXT NOT NULL,
        audience TEXT NOT NULL,
        customer_ids BIGINT[] DEFAULT '{}' NOT NULL,
        count BIGINT NOT NULL,
        valid_for INTERVAL NOT NULL,
        discount NUMERIC,
        notify BOOLEAN NOT NULL,
        paused BOOLEAN NOT NULL,
        catch_up INTERVAL NOT NULL,
        next_at TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT schedules_pkey PRIMARY KEY (id),
        CONSTRAINT schedules_name_check CHECK (name <> ''),
        CONSTRAINT schedules_audience_check CHECK (audience IN ('pool', 'all_customers',
            'customers')),
        CONSTRAINT schedules_count_check CHECK (count > 0),
        CONSTRAINT schedules_valid_for_check CHECK (valid_for > interval '0'),
        CONSTRAINT schedules_catch_up_check CHECK (catch_up >= interval '0'),
        CONSTRAINT schedules_discount_check CHECK (discount > 0),
        CONSTRAINT schedules_name_key UNIQUE (name),
        CONSTRAINT schedules_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id)
    );

    CREATE INDEX schedules_next_at_idx ON schedules (next_at) WHERE NOT paused;

    CREATE TABLE claims (
        offer_id BIGINT NOT NULL,
        claim_ref TEXT NOT NULL,
        customer_id BIGINT NOT NULL,
        code_key TEXT,
        claimed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT claims_pkey PRIMARY KEY (offer_id, claim_ref),
        CONSTRAINT claims_claim_ref_check CHECK (claim_ref <> ''),
        CONSTRAINT claims_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON DELETE
            CASCADE,
        CONSTRAINT claims_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE INDEX claims_code_key_idx ON claims (code_key);

    CREATE TABLE claim_counts (
        offer_id BIGINT NOT NULL,
        customer_id BIGINT NOT NULL,
        claimed BIGINT NOT NULL,
        CONSTRAINT claim_counts_pkey PRIMARY KEY (offer_id, customer_id),
        CONSTRAINT claim_counts_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON DELETE
            CASCADE,
        CONSTRAINT claim_counts_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE TABLE redemptions (
        code_key TEXT NOT NULL,
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        customer_id BIGINT,
        offer_id BIGINT NOT NULL,
        order_ref reference,
        discount positive_amount NOT NULL,
        discount_type TEXT NOT NULL,
        currency TEXT,
        order_amount NUMERIC,
        discount_amount NUMERIC,
        redeemed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        reversed_at TIMESTAMP WITH TIME ZONE,
        metadata JSONB,
        kind TEXT,
        CONSTRAINT redemptions_pkey PRIMARY KEY (code_key, id),
        CONSTRAINT redemptions_amounts_check CHECK (order_amount >= 0 AND discount_amount >= 0 AND
            discount_amount <= order_amount),
        CONSTRAINT redemptions_reversed_at_check CHECK (reversed_at >= redeemed_at),
        CONSTRAINT redemptions_kind_check CHECK ((kind IS NULL OR kind = 'imported') AND
            num_nonnulls(customer_id, kind) > 0),
        CONSTRAINT redemptions_code_key_fkey FOREIGN KEY(code_key) REFERENCES vouchers (code_key),
        CONSTRAINT redemptions_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
    );

    CREATE UNIQUE INDEX redemptions_order_ref_code_key_key ON redemptions (order_ref, code_key)
            WHERE order_ref IS NOT NULL;

    CREATE INDEX redemptions_id_idx ON redemptions (id);

    CREATE INDEX redemptions_offer_id_reversed_at_idx ON redemptions (offer_id, reversed_at)
            INCLUDE (discount_amount, currency, order_amount) WHERE reversed_at IS NOT NULL;

    CREATE INDEX redemptions_customer_id_redeemed_at_id_idx ON redemptions (customer_id,
            redeemed_at, id);

    CREATE INDEX redemptions_offer_id_redeemed_at_idx ON redemptions (offer_id, redeemed_at)
            INCLUDE (discount_amount, currency, order_amount);

    CREATE TABLE batch_customers (
        batch_id BIGINT NOT NULL,
        page BIGINT NOT NULL,
        customer_ids BIGINT[] NOT NULL,
        CONSTRAINT batch_customers_pkey PRIMARY KEY (batch_id, page),
        CONSTRAINT batch_customers_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id) ON
            DELETE CASCADE
    );

    CREATE TABLE changes (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        offer_id BIGINT NOT NULL,
        batch_id BIGINT,
        terms JSONB NOT NULL,
        chosen TEXT NOT NULL,
        reason TEXT,
        dry_run BOOLEAN NOT NULL,
        timezone TEXT NOT NULL,
        state TEXT DEFAULT 'pending' NOT NULL,
        matched BIGINT,
        changed BIGINT DEFAULT '0' NOT NULL,
        skipped BIGINT DEFAULT '0' NOT NULL,
        page BIGINT DEFAULT '0' NOT NULL,
        error TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        finished_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT changes_pkey PRIMARY KEY (id),
        CONSTRAINT changes_chosen_check CHECK (chosen IN ('all', 'unused', 'unclaimed')),
        CONSTRAINT changes_state_check CHECK (state IN ('pending', 'running', 'done', 'failed',
            'cancelled')),
        CONSTRAINT changes_counts_check CHECK (changed >= 0 AND skipped >= 0 AND changed + skipped
            <= matched),
        CONSTRAINT changes_done_check CHECK (state <> 'done' OR changed + skipped = matched),
        CONSTRAINT changes_failed_check CHECK ((state = 'failed') = (error IS NOT NULL)),
        CONSTRAINT changes_finished_at_check CHECK ((state IN ('done', 'failed', 'cancelled')) =
            (finished_at IS NOT NULL)),
        CONSTRAINT changes_offer_id_fkey FOREIGN KEY(offer_id) REFERENCES offers (id) ON DELETE
            CASCADE,
        CONSTRAINT changes_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id) ON DELETE
            CASCADE
    );

    CREATE INDEX changes_offer_id_id_idx ON changes (offer_id, id);

    CREATE INDEX changes_unfinished_idx ON changes (page, id) WHERE finished_at IS NULL;

    CREATE TABLE change_vouchers (
        change_id BIGINT NOT NULL,
        page BIGINT NOT NULL,
        code_keys TEXT[] NOT NULL,
        CONSTRAINT change_vouchers_pkey PRIMARY KEY (change_id, page),
        CONSTRAINT change_vouchers_change_id_fkey FOREIGN KEY(change_id) REFERENCES changes (id) ON
            DELETE CASCADE
    );

    CREATE TABLE schedule_runs (
        schedule_id BIGINT NOT NULL,
        occurrence TIMESTAMP WITH TIME ZONE NOT NULL,
        state TEXT NOT NULL,
        batch_id BIGINT,
        error TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT schedule_runs_pkey PRIMARY KEY (schedule_id, occurrence),
        CONSTRAINT schedule_runs_state_check CHECK (state IN ('done', 'skipped', 'failed')),
        CONSTRAINT schedule_runs_batch_id_check CHECK ((state = 'done') = (batch_id IS NOT NULL)),
        CONSTRAINT schedule_runs_schedule_id_fkey FOREIGN KEY(schedule_id) REFERENCES schedules
            (id) ON DELETE CASCADE,
        CONSTRAINT schedule_runs_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id) ON
            DELETE CASCADE
    )
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(schema.replace("%", "%%"))  # psycopg2 reads %% as %


def downgrade() -> None:
    raise NotImplementedError("The first revision has nothing before it: drop the database.")
