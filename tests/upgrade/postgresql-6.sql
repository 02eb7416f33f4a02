CREATE TABLE public.alarms (
    instance_uuid character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying NOT NULL,
    evidence text NOT NULL,
    since character varying NOT NULL COLLATE pg_catalog."C",
    seen_at character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.allocations (
    consumer character varying NOT NULL COLLATE pg_catalog."C",
    host character varying NOT NULL COLLATE pg_catalog."C",
    vcpus integer NOT NULL,
    memory_mib integer NOT NULL
);
CREATE TABLE public.debts (
    number integer NOT NULL,
    story_uuid character varying NOT NULL COLLATE pg_catalog."C",
    step character varying NOT NULL COLLATE pg_catalog."C",
    undo boolean NOT NULL,
    "where" character varying NOT NULL COLLATE pg_catalog."C",
    words text NOT NULL,
    attempts integer NOT NULL,
    due_at_s double precision NOT NULL
);
CREATE SEQUENCE public.debts_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.debts_number_seq OWNED BY public.debts.number;
CREATE TABLE public.decisions (
    migration_uuid character varying NOT NULL COLLATE pg_catalog."C",
    at_host character varying COLLATE pg_catalog."C",
    why text NOT NULL,
    at character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.hosts (
    name character varying NOT NULL COLLATE pg_catalog."C",
    facts text,
    heard_at_s double precision NOT NULL,
    trouble text NOT NULL,
    disabled boolean NOT NULL,
    disabled_reason text NOT NULL,
    confirmed_down text,
    confirmed_up text
);
CREATE TABLE public.instances (
    uuid character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    host character varying NOT NULL COLLATE pg_catalog."C",
    node character varying NOT NULL COLLATE pg_catalog."C",
    vm_state character varying NOT NULL,
    power_state character varying NOT NULL,
    task_state character varying,
    vcpus integer NOT NULL,
    memory_mib integer NOT NULL,
    disks text NOT NULL,
    nics text NOT NULL,
    platform text,
    discovered boolean NOT NULL,
    flavor character varying COLLATE pg_catalog."C",
    image character varying COLLATE pg_catalog."C",
    "group" character varying COLLATE pg_catalog."C",
    created_at character varying NOT NULL COLLATE pg_catalog."C",
    updated_at character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.migrations (
    id integer NOT NULL,
    uuid character varying NOT NULL COLLATE pg_catalog."C",
    instance_uuid character varying NOT NULL COLLATE pg_catalog."C",
    status character varying NOT NULL,
    migration_type character varying NOT NULL COLLATE pg_catalog."C",
    source_compute character varying NOT NULL COLLATE pg_catalog."C",
    source_node character varying NOT NULL COLLATE pg_catalog."C",
    dest_compute character varying COLLATE pg_catalog."C",
    dest_node character varying COLLATE pg_catalog."C",
    requested_host character varying COLLATE pg_catalog."C",
    block_migration character varying NOT NULL,
    steering text NOT NULL,
    initiator character varying NOT NULL COLLATE pg_catalog."C",
    initiator_reason text NOT NULL,
    request_id character varying NOT NULL COLLATE pg_catalog."C",
    reason text,
    refusals text NOT NULL,
    person_needed boolean NOT NULL,
    abort_requested boolean NOT NULL,
    progress text,
    statistics text,
    created_at character varying NOT NULL COLLATE pg_catalog."C",
    updated_at character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.migrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.migrations_id_seq OWNED BY public.migrations.id;
CREATE TABLE public.repairs (
    number integer NOT NULL,
    at character varying NOT NULL COLLATE pg_catalog."C",
    by character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying NOT NULL,
    action character varying NOT NULL,
    subject character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    host character varying COLLATE pg_catalog."C",
    evidence text NOT NULL
);
CREATE SEQUENCE public.repairs_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.repairs_number_seq OWNED BY public.repairs.number;
CREATE TABLE public.slots (
    migration_uuid character varying NOT NULL COLLATE pg_catalog."C",
    host character varying NOT NULL COLLATE pg_catalog."C",
    outgoing boolean NOT NULL,
    slots_max integer NOT NULL,
    held boolean NOT NULL,
    place integer NOT NULL
);
CREATE TABLE public.stories (
    number integer NOT NULL,
    uuid character varying NOT NULL COLLATE pg_catalog."C",
    saga character varying NOT NULL COLLATE pg_catalog."C",
    direction character varying NOT NULL,
    step character varying NOT NULL COLLATE pg_catalog."C",
    facts bytea NOT NULL,
    generation integer NOT NULL,
    owner character varying NOT NULL COLLATE pg_catalog."C",
    lease_until_s double precision NOT NULL,
    wake_at_s double precision NOT NULL,
    resting character varying NOT NULL COLLATE pg_catalog."C",
    attempts integer NOT NULL,
    failure text,
    abort text,
    woken boolean NOT NULL
);
CREATE SEQUENCE public.stories_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.stories_number_seq OWNED BY public.stories.number;
CREATE TABLE public.story_entries (
    story_uuid character varying NOT NULL COLLATE pg_catalog."C",
    sequence integer NOT NULL,
    step character varying NOT NULL COLLATE pg_catalog."C",
    what character varying NOT NULL,
    words text NOT NULL,
    at character varying NOT NULL COLLATE pg_catalog."C",
    attempt integer NOT NULL,
    by character varying NOT NULL COLLATE pg_catalog."C",
    "where" character varying NOT NULL COLLATE pg_catalog."C",
    code character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.turns (
    duty character varying NOT NULL COLLATE pg_catalog."C",
    by character varying NOT NULL COLLATE pg_catalog."C",
    taken_at_s double precision NOT NULL
);
ALTER TABLE ONLY public.debts ALTER COLUMN number SET DEFAULT nextval('public.debts_number_seq'::regclass);
ALTER TABLE ONLY public.migrations ALTER COLUMN id SET DEFAULT nextval('public.migrations_id_seq'::regclass);
ALTER TABLE ONLY public.repairs ALTER COLUMN number SET DEFAULT nextval('public.repairs_number_seq'::regclass);
ALTER TABLE ONLY public.stories ALTER COLUMN number SET DEFAULT nextval('public.stories_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('6');
INSERT INTO public.allocations VALUES ('guest-1', 'host-b', 1, 512);
INSERT INTO public.allocations VALUES ('guest-4', 'host-a', 1, 512);
INSERT INTO public.allocations VALUES ('move-2', 'host-a', 1, 512);
INSERT INTO public.allocations VALUES ('guest-2', 'host-b', 1, 512);
INSERT INTO public.allocations VALUES ('move-3', 'host-a', 1, 512);
INSERT INTO public.allocations VALUES ('guest-3', 'host-c', 1, 512);
INSERT INTO public.debts VALUES (1, 'move-1', 'post_live_migration_at_source', false, 'host-a', 'host-a does not answer', 0, 5);
INSERT INTO public.decisions VALUES ('move-3', 'host-a', '{"code":"cancelled-by-request","words":"cancelled by me","remedy":"nothing to do: the guest runs on at the source","host":null,"details":{"initiator":"me"}}', '2026-11-22T19:23:25.559507');
INSERT INTO public.hosts VALUES ('host-c', NULL, 0, '', false, '', '{"by":"local:ana","at":"2026-01-02T03:04:05.000006","why":"burnt"}', NULL);
INSERT INTO public.hosts VALUES ('host-d', NULL, 0, '', false, '', NULL, '{"by":"local:ana","at":"2026-01-02T03:04:05.000006","why":""}');
INSERT INTO public.repairs VALUES (1, '2026-01-02T03:04:05.000006', 'local:ana', 'claim-left', 'drop-claim', 'guest-9', '', 'host-c', '[{"by":"the record","said":"2 vCPUs, 1024 MiB at host-c","at":""}]');
INSERT INTO public.turns VALUES ('audit', 'box', 1);
INSERT INTO public.alarms VALUES ('guest-3', 'nowhere', '[{"by":"host-a","said":"nothing","at":"2026-01-02T03:04:05.000006"}]', '2026-01-02T03:04:05.000006', '2026-01-02T03:04:05.000006');
INSERT INTO public.hosts VALUES ('host-a', '{"name":"host-a","node":"node of host-a","hypervisor_type":"QEMU","hypervisor_version":7002022,"library_version":0,"architecture":"x86_64","cpu_model":"","cpu_features":[],"vcpus":4,"memory_mib":8192,"storages":[],"networks":[],"machine_types":[],"machine_uuid":"","manage":"all","managers":[],"migration_address":"","cpu_allocation_ratio":16.0,"reserved_memory_mib":0,"transfers_max":2}', 1, '', false, '', NULL, NULL);
INSERT INTO public.hosts VALUES ('host-b', '{"name":"host-b","node":"node of host-b","hypervisor_type":"QEMU","hypervisor_version":7002022,"library_version":0,"architecture":"x86_64","cpu_model":"","cpu_features":[],"vcpus":4,"memory_mib":8192,"storages":[],"networks":[],"machine_types":[],"machine_uuid":"","manage":"all","managers":[],"migration_address":"","cpu_allocation_ratio":16.0,"reserved_memory_mib":0,"transfers_max":2}', 2, '', false, '', NULL, NULL);
INSERT INTO public.instances VALUES ('guest-1', 'name-1', 'host-b', 'node of host-b', 'active', 'running', NULL, 1, 512, '[]', '[]', NULL, true, NULL, NULL, NULL, '2026-11-22T19:23:25.390101', '2026-11-22T19:23:25.518054');
INSERT INTO public.instances VALUES ('guest-4', 'name-4', 'host-a', 'seen', 'active', 'running', NULL, 1, 512, '[]', '[]', NULL, true, NULL, NULL, NULL, '2026-11-22T19:23:25.390101', '2026-11-22T19:23:25.533150');
INSERT INTO public.instances VALUES ('guest-2', 'name-2', 'host-a', 'seen', 'active', 'running', 'migrating', 1, 512, '[]', '[]', NULL, true, NULL, NULL, NULL, '2026-11-22T19:23:25.390101', '2026-11-22T19:23:25.536897');
INSERT INTO public.instances VALUES ('guest-3', 'name-3', 'host-a', 'seen', 'active', 'running', 'migrating', 1, 512, '[]', '[]', NULL, true, NULL, NULL, NULL, '2026-11-22T19:23:25.390101', '2026-11-22T19:23:25.549371');
INSERT INTO public.migrations VALUES (1, 'move-1', 'guest-1', 'completed', 'live-migration', 'host-a', 'node of host-a', 'host-b', 'node of host-b', NULL, 'auto', '{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}', '', '', '', NULL, '[]', false, false, NULL, NULL, '2026-11-22T19:23:25.417235', '2026-11-22T19:23:25.518054');
INSERT INTO public.migrations VALUES (2, 'move-4', 'guest-4', 'failed', 'live-migration', 'host-a', 'node of host-a', NULL, NULL, NULL, 'auto', '{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}', '', '', '', '{"code":"cancelled-by-request","words":"cancelled by me","remedy":"nothing to do: the guest runs on at the source","host":null,"details":{"initiator":"me"}}', '[{"code":"not-enough-memory","words":"{host} has {free_mib} MiB of memory left for guests, 2 MiB are needed","remedy":"move another guest off {host} first, or choose another host","hosts":["host-c","host-d"],"details":{"free_mib":[1,3]}},{"code":"compute-service-disabled","words":"host-b is disabled: {why}","remedy":"godwit host enable host-b, when it may take guests again","hosts":["host-b"],"details":{"why":["new {disks}"]}}]', false, false, NULL, NULL, '2026-11-22T19:23:25.524815', '2026-11-22T19:23:25.533150');
INSERT INTO public.migrations VALUES (3, 'move-2', 'guest-2', 'running', 'live-migration', 'host-a', 'node of host-a', 'host-b', 'node of host-b', NULL, 'auto', '{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}', '', '', '', NULL, '[]', false, false, '{"phase":"preparing","elapsed_s":0.0,"memory_total_bytes":0,"memory_processed_bytes":0,"memory_remaining_bytes":0,"disk_total_bytes":0,"disk_processed_bytes":0,"disk_remaining_bytes":0,"rate_bytes_per_s":0,"dirty_rate_bytes_per_s":0,"limit_bytes_per_s":0,"iteration":3,"eta_s":null,"converging":true,"expected_downtime_ms":null,"allowed_downtime_ms":null,"throttle_percent":0}', NULL, '2026-11-22T19:23:25.536897', '2026-11-22T19:23:25.546885');
INSERT INTO public.migrations VALUES (4, 'move-3', 'guest-3', 'accepted', 'live-migration', 'host-a', 'node of host-a', NULL, NULL, NULL, 'auto', '{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}', '', '', '', NULL, '[]', true, false, NULL, NULL, '2026-11-22T19:23:25.549371', '2026-11-22T19:23:25.558372');
INSERT INTO public.slots VALUES ('move-2', 'host-a', true, 1, true, 1);
INSERT INTO public.slots VALUES ('move-2', 'host-b', false, 1, true, 1);
INSERT INTO public.slots VALUES ('move-3', 'host-a', true, 1, false, 2);
INSERT INTO public.slots VALUES ('move-3', 'host-c', false, 1, false, 2);
INSERT INTO public.stories VALUES (1, 'move-1', 'live-migration', 'ended', 'first', '\x7b7d', 1, '', 250, 0, '', 0, NULL, NULL, false);
INSERT INTO public.stories VALUES (2, 'move-4', 'live-migration', 'ended', 'first', '\x7b7d', 1, '', 250, 0, '', 0, NULL, NULL, false);
INSERT INTO public.stories VALUES (3, 'move-2', 'live-migration', 'forward', 'first', '\x7b7d', 1, 'me', 250, 0, '', 0, NULL, NULL, false);
INSERT INTO public.stories VALUES (4, 'move-3', 'live-migration', 'forward', 'first', '\x7b7d', 1, '', 250, 0, 'person_needed', 0, NULL, NULL, false);
INSERT INTO public.story_entries VALUES ('move-1', 1, 'first', 'began', '', '2026-11-22T19:23:25.417235', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-1', 2, 'finish', 'ended', 'completed', '2026-11-22T19:23:25.518054', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-4', 1, 'first', 'began', '', '2026-11-22T19:23:25.524815', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-4', 2, 'find_destination', 'failed', 'no-valid-host', '2026-11-22T19:23:25.533150', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-2', 1, 'first', 'began', '', '2026-11-22T19:23:25.536897', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-3', 1, 'first', 'began', '', '2026-11-22T19:23:25.549371', 1, 'box', 'host-a', 'a-code');
INSERT INTO public.story_entries VALUES ('move-3', 2, 'live_migration', 'rests', 'whereabouts-unknown', '2026-11-22T19:23:25.558372', 1, 'box', 'host-a', 'a-code');
SELECT pg_catalog.setval('public.debts_number_seq', 1, true);
SELECT pg_catalog.setval('public.repairs_number_seq', 1, true);
SELECT pg_catalog.setval('public.migrations_id_seq', 4, true);
SELECT pg_catalog.setval('public.stories_number_seq', 4, true);
ALTER TABLE ONLY public.alarms
    ADD CONSTRAINT alarms_pkey PRIMARY KEY (instance_uuid);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.allocations
    ADD CONSTRAINT allocations_pkey PRIMARY KEY (consumer, host);
ALTER TABLE ONLY public.debts
    ADD CONSTRAINT debts_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.repairs
    ADD CONSTRAINT repairs_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (duty);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT decisions_pkey PRIMARY KEY (migration_uuid);
ALTER TABLE ONLY public.hosts
    ADD CONSTRAINT hosts_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (uuid);
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_uuid_key UNIQUE (uuid);
ALTER TABLE ONLY public.slots
    ADD CONSTRAINT slots_pkey PRIMARY KEY (migration_uuid, host);
ALTER TABLE ONLY public.stories
    ADD CONSTRAINT stories_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.stories
    ADD CONSTRAINT stories_uuid_key UNIQUE (uuid);
ALTER TABLE ONLY public.story_entries
    ADD CONSTRAINT story_entries_pkey PRIMARY KEY (story_uuid, sequence);
CREATE INDEX ix_allocations_host ON public.allocations USING btree (host);
CREATE INDEX ix_instances_host ON public.instances USING btree (host);
CREATE INDEX ix_instances_name ON public.instances USING btree (name);
CREATE INDEX ix_migrations_instance_uuid ON public.migrations USING btree (instance_uuid);
CREATE INDEX ix_migrations_status ON public.migrations USING btree (status);
CREATE INDEX ix_slots_host ON public.slots USING btree (host);
CREATE INDEX ix_stories_direction ON public.stories USING btree (direction);
CREATE UNIQUE INDEX one_debt_per_act ON public.debts USING btree (story_uuid, step, undo);
ALTER TABLE ONLY public.debts
    ADD CONSTRAINT debts_story_uuid_fkey FOREIGN KEY (story_uuid) REFERENCES public.stories(uuid);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT decisions_migration_uuid_fkey FOREIGN KEY (migration_uuid) REFERENCES public.migrations(uuid);
ALTER TABLE ONLY public.slots
    ADD CONSTRAINT slots_migration_uuid_fkey FOREIGN KEY (migration_uuid) REFERENCES public.migrations(uuid);
ALTER TABLE ONLY public.story_entries
    ADD CONSTRAINT story_entries_story_uuid_fkey FOREIGN KEY (story_uuid) REFERENCES public.stories(uuid);
