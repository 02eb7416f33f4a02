BEGIN TRANSACTION;
CREATE TABLE alarms (
	instance_uuid VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	evidence TEXT NOT NULL, 
	since VARCHAR NOT NULL, 
	seen_at VARCHAR NOT NULL, 
	PRIMARY KEY (instance_uuid)
);
INSERT INTO "alarms" VALUES('guest-3','nowhere','[{"by":"host-a","said":"nothing","at":"2026-01-02T03:04:05.000006"}]','2026-01-02T03:04:05.000006','2026-01-02T03:04:05.000006');
CREATE TABLE allocations (
	consumer VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	vcpus INTEGER NOT NULL, 
	memory_mib INTEGER NOT NULL, 
	PRIMARY KEY (consumer, host)
);
INSERT INTO "allocations" VALUES('move-2','host-a',1,512);
INSERT INTO "allocations" VALUES('move-3','host-a',1,512);
INSERT INTO "allocations" VALUES('guest-1','host-b',1,512);
INSERT INTO "allocations" VALUES('guest-4','host-a',1,512);
INSERT INTO "allocations" VALUES('guest-2','host-b',1,512);
INSERT INTO "allocations" VALUES('guest-3','host-c',1,512);
CREATE TABLE debts (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	story_uuid VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	undo BOOLEAN NOT NULL, 
	"where" VARCHAR NOT NULL, 
	words TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	due_at_s FLOAT NOT NULL, 
	FOREIGN KEY(story_uuid) REFERENCES stories (uuid)
);
INSERT INTO "debts" VALUES(1,'move-1','post_live_migration_at_source',0,'host-a','host-a does not answer',0,5.0);
CREATE TABLE decisions (
	migration_uuid VARCHAR NOT NULL, 
	at_host VARCHAR, 
	why TEXT NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (migration_uuid), 
	FOREIGN KEY(migration_uuid) REFERENCES migrations (uuid)
);
INSERT INTO "decisions" VALUES('move-3','host-a','{"code":"cancelled-by-request","words":"cancelled by me","remedy":"nothing to do: the guest runs on at the source","host":null,"details":{"initiator":"me"}}','2026-11-22T19:23:23.886123');
CREATE TABLE hosts (
	name VARCHAR NOT NULL, 
	facts TEXT, 
	heard_at_s FLOAT NOT NULL, 
	trouble TEXT NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	disabled_reason TEXT NOT NULL, 
	confirmed_down TEXT, 
	confirmed_up TEXT, 
	PRIMARY KEY (name)
);
INSERT INTO "hosts" VALUES('host-a','{"name":"host-a","node":"node of host-a","hypervisor_type":"QEMU","hypervisor_version":7002022,"library_version":0,"architecture":"x86_64","cpu_model":"","cpu_features":[],"vcpus":4,"memory_mib":8192,"storages":[],"networks":[],"machine_types":[],"machine_uuid":"","manage":"all","managers":[],"migration_address":"","cpu_allocation_ratio":16.0,"reserved_memory_mib":0,"transfers_max":2}',1.0,'',0,'',NULL,NULL);
INSERT INTO "hosts" VALUES('host-b','{"name":"host-b","node":"node of host-b","hypervisor_type":"QEMU","hypervisor_version":7002022,"library_version":0,"architecture":"x86_64","cpu_model":"","cpu_features":[],"vcpus":4,"memory_mib":8192,"storages":[],"networks":[],"machine_types":[],"machine_uuid":"","manage":"all","managers":[],"migration_address":"","cpu_allocation_ratio":16.0,"reserved_memory_mib":0,"transfers_max":2}',2.0,'',0,'',NULL,NULL);
INSERT INTO "hosts" VALUES('host-c',NULL,0.0,'',0,'','{"by":"local:ana","at":"2026-01-02T03:04:05.000006","why":"burnt"}',NULL);
INSERT INTO "hosts" VALUES('host-d',NULL,0.0,'',0,'',NULL,'{"by":"local:ana","at":"2026-01-02T03:04:05.000006","why":""}');
CREATE TABLE instances (
	uuid VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	node VARCHAR NOT NULL, 
	vm_state VARCHAR NOT NULL, 
	power_state VARCHAR NOT NULL, 
	task_state VARCHAR, 
	vcpus INTEGER NOT NULL, 
	memory_mib INTEGER NOT NULL, 
	disks TEXT NOT NULL, 
	nics TEXT NOT NULL, 
	platform TEXT, 
	discovered BOOLEAN NOT NULL, 
	flavor VARCHAR, 
	image VARCHAR, 
	"group" VARCHAR, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	PRIMARY KEY (uuid)
);
INSERT INTO "instances" VALUES('guest-1','name-1','host-b','node of host-b','active','running',NULL,1,512,'[]','[]',NULL,1,NULL,NULL,NULL,'2026-11-22T19:23:23.846747','2026-11-22T19:23:23.871971');
INSERT INTO "instances" VALUES('guest-2','name-2','host-a','seen','active','running','migrating',1,512,'[]','[]',NULL,1,NULL,NULL,NULL,'2026-11-22T19:23:23.846747','2026-11-22T19:23:23.877637');
INSERT INTO "instances" VALUES('guest-3','name-3','host-a','seen','active','running','migrating',1,512,'[]','[]',NULL,1,NULL,NULL,NULL,'2026-11-22T19:23:23.846747','2026-11-22T19:23:23.882398');
INSERT INTO "instances" VALUES('guest-4','name-4','host-a','seen','active','running',NULL,1,512,'[]','[]',NULL,1,NULL,NULL,NULL,'2026-11-22T19:23:23.846747','2026-11-22T19:23:23.876948');
CREATE TABLE migrations (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	uuid VARCHAR NOT NULL, 
	instance_uuid VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	migration_type VARCHAR NOT NULL, 
	source_compute VARCHAR NOT NULL, 
	source_node VARCHAR NOT NULL, 
	dest_compute VARCHAR, 
	dest_node VARCHAR, 
	requested_host VARCHAR, 
	block_migration VARCHAR NOT NULL, 
	steering TEXT NOT NULL, 
	initiator VARCHAR NOT NULL, 
	initiator_reason TEXT NOT NULL, 
	request_id VARCHAR NOT NULL, 
	reason TEXT, 
	refusals TEXT NOT NULL, 
	person_needed BOOLEAN NOT NULL, 
	abort_requested BOOLEAN NOT NULL, 
	progress TEXT, 
	statistics TEXT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (uuid)
);
INSERT INTO "migrations" VALUES(1,'move-1','guest-1','completed','live-migration','host-a','node of host-a','host-b','node of host-b',NULL,'auto','{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}','','','',NULL,'[]',0,0,NULL,NULL,'2026-11-22T19:23:23.852688','2026-11-22T19:23:23.871971');
INSERT INTO "migrations" VALUES(2,'move-4','guest-4','failed','live-migration','host-a','node of host-a',NULL,NULL,NULL,'auto','{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}','','','','{"code":"cancelled-by-request","words":"cancelled by me","remedy":"nothing to do: the guest runs on at the source","host":null,"details":{"initiator":"me"}}','[{"code":"not-enough-memory","words":"{host} has {free_mib} MiB of memory left for guests, 2 MiB are needed","remedy":"move another guest off {host} first, or choose another host","hosts":["host-c","host-d"],"details":{"free_mib":[1,3]}},{"code":"compute-service-disabled","words":"host-b is disabled: {why}","remedy":"godwit host enable host-b, when it may take guests again","hosts":["host-b"],"details":{"why":["new {disks}"]}}]',0,0,NULL,NULL,'2026-11-22T19:23:23.874272','2026-11-22T19:23:23.876948');
INSERT INTO "migrations" VALUES(3,'move-2','guest-2','running','live-migration','host-a','node of host-a','host-b','node of host-b',NULL,'auto','{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}','','','',NULL,'[]',0,0,'{"phase":"preparing","elapsed_s":0.0,"memory_total_bytes":0,"memory_processed_bytes":0,"memory_remaining_bytes":0,"disk_total_bytes":0,"disk_processed_bytes":0,"disk_remaining_bytes":0,"rate_bytes_per_s":0,"dirty_rate_bytes_per_s":0,"limit_bytes_per_s":0,"iteration":3,"eta_s":null,"converging":true,"expected_downtime_ms":null,"allowed_downtime_ms":null,"throttle_percent":0}',NULL,'2026-11-22T19:23:23.877637','2026-11-22T19:23:23.881080');
INSERT INTO "migrations" VALUES(4,'move-3','guest-3','accepted','live-migration','host-a','node of host-a',NULL,NULL,NULL,'auto','{"bandwidth_mib_per_s":0,"max_downtime_ms":500,"downtime_steps":5,"completion_timeout_s":0.0,"auto_converge":false,"permit_post_copy":false,"parallel_connections":1,"force":null,"revision":0}','','','',NULL,'[]',1,0,NULL,NULL,'2026-11-22T19:23:23.882398','2026-11-22T19:23:23.885610');
CREATE TABLE slots (
	migration_uuid VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	outgoing BOOLEAN NOT NULL, 
	slots_max INTEGER NOT NULL, 
	held BOOLEAN NOT NULL, 
	place INTEGER NOT NULL, 
	PRIMARY KEY (migration_uuid, host), 
	FOREIGN KEY(migration_uuid) REFERENCES migrations (uuid)
);
INSERT INTO "slots" VALUES('move-2','host-a',1,1,1,1);
INSERT INTO "slots" VALUES('move-2','host-b',0,1,1,1);
INSERT INTO "slots" VALUES('move-3','host-a',1,1,0,2);
INSERT INTO "slots" VALUES('move-3','host-c',0,1,0,2);
CREATE TABLE stories (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	uuid VARCHAR NOT NULL, 
	saga VARCHAR NOT NULL, 
	direction VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	facts BLOB NOT NULL, 
	generation INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	lease_until_s FLOAT NOT NULL, 
	wake_at_s FLOAT NOT NULL, 
	resting VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	failure TEXT, 
	abort TEXT, 
	woken BOOLEAN NOT NULL, 
	UNIQUE (uuid)
);
INSERT INTO "stories" VALUES(1,'move-1','live-migration','ended','first',X'7B7D',1,'',250.0,0.0,'',0,NULL,NULL,0);
INSERT INTO "stories" VALUES(2,'move-4','live-migration','ended','first',X'7B7D',1,'',250.0,0.0,'',0,NULL,NULL,0);
INSERT INTO "stories" VALUES(3,'move-2','live-migration','forward','first',X'7B7D',1,'me',250.0,0.0,'',0,NULL,NULL,0);
INSERT INTO "stories" VALUES(4,'move-3','live-migration','forward','first',X'7B7D',1,'',250.0,0.0,'person_needed',0,NULL,NULL,0);
CREATE TABLE story_entries (
	story_uuid VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	step VARCHAR NOT NULL, 
	what VARCHAR NOT NULL, 
	words TEXT NOT NULL, 
	at VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	"by" VARCHAR NOT NULL, 
	"where" VARCHAR NOT NULL, 
	code VARCHAR NOT NULL, 
	PRIMARY KEY (story_uuid, sequence), 
	FOREIGN KEY(story_uuid) REFERENCES stories (uuid)
);
INSERT INTO "story_entries" VALUES('move-1',1,'first','began','','2026-11-22T19:23:23.852688',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-1',2,'finish','ended','completed','2026-11-22T19:23:23.871971',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-4',1,'first','began','','2026-11-22T19:23:23.874272',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-4',2,'find_destination','failed','no-valid-host','2026-11-22T19:23:23.876948',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-2',1,'first','began','','2026-11-22T19:23:23.877637',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-3',1,'first','began','','2026-11-22T19:23:23.882398',1,'box','host-a','a-code');
INSERT INTO "story_entries" VALUES('move-3',2,'live_migration','rests','whereabouts-unknown','2026-11-22T19:23:23.885610',1,'box','host-a','a-code');
CREATE TABLE repairs (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	host VARCHAR, 
	evidence TEXT NOT NULL
);
INSERT INTO "repairs" VALUES(1,'2026-01-02T03:04:05.000006','local:ana','claim-left','drop-claim','guest-9','','host-c','[{"by":"the record","said":"2 vCPUs, 1024 MiB at host-c","at":""}]');
CREATE TABLE turns (
	duty VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	taken_at_s FLOAT NOT NULL, 
	PRIMARY KEY (duty)
);
INSERT INTO "turns" VALUES('audit','box',1.0);
CREATE INDEX ix_allocations_host ON allocations (host);
CREATE INDEX ix_instances_host ON instances (host);
CREATE INDEX ix_instances_name ON instances (name);
CREATE INDEX ix_migrations_instance_uuid ON migrations (instance_uuid);
CREATE INDEX ix_migrations_status ON migrations (status);
CREATE INDEX ix_stories_direction ON stories (direction);
CREATE UNIQUE INDEX one_debt_per_act ON debts (story_uuid, step, undo);
CREATE INDEX ix_slots_host ON slots (host);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('migrations',4);
INSERT INTO "sqlite_sequence" VALUES('stories',4);
INSERT INTO "sqlite_sequence" VALUES('debts',1);
INSERT INTO "sqlite_sequence" VALUES('repairs',1);
COMMIT;
PRAGMA user_version = 6;
