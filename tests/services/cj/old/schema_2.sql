BEGIN TRANSACTION;
CREATE TABLE anchor_essay_references (
	id INTEGER NOT NULL, 
	assignment_id VARCHAR(255) NOT NULL, 
	anchor_label VARCHAR(50) NOT NULL, 
	grade VARCHAR(10) NOT NULL, 
	grade_scale VARCHAR(50) NOT NULL, 
	text_storage_id VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_anchor_reference UNIQUE (assignment_id, anchor_label, grade_scale)
);
INSERT INTO "anchor_essay_references" VALUES(1,'assignment-1','F','F','swedish_8_anchor','anchor-text-F','2025-12-01 08:00:00.000000');
INSERT INTO "anchor_essay_references" VALUES(2,'assignment-1','A','A','swedish_8_anchor','anchor-text-A','2025-12-01 08:00:00.000000');
CREATE TABLE assessment_instructions (
	id INTEGER NOT NULL, 
	assignment_id VARCHAR(255), 
	course_id VARCHAR(50), 
	instructions_text TEXT NOT NULL, 
	grade_scale VARCHAR(50) NOT NULL, 
	context_origin VARCHAR(50) NOT NULL, 
	student_prompt_storage_id VARCHAR(255), 
	judge_rubric_storage_id VARCHAR(255), 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT ck_assignment_xor_course CHECK ((assignment_id IS NULL) <> (course_id IS NULL)), 
	UNIQUE (assignment_id), 
	UNIQUE (course_id)
);
INSERT INTO "assessment_instructions" VALUES(1,'assignment-1',NULL,'Reward ideas.','swedish_8_anchor','research_experiment','prompt-1','rubric-1','2025-12-01 08:00:00.000000');
CREATE TABLE cj_batch_states (
	batch_id INTEGER NOT NULL, 
	state VARCHAR(40) NOT NULL, 
	total_budget INTEGER, 
	total_comparisons INTEGER NOT NULL, 
	submitted_comparisons INTEGER NOT NULL, 
	completed_comparisons INTEGER NOT NULL, 
	failed_comparisons INTEGER NOT NULL, 
	current_iteration INTEGER NOT NULL, 
	last_activity_at DATETIME NOT NULL, 
	partial_scoring_triggered BOOLEAN NOT NULL, 
	completion_threshold_pct INTEGER NOT NULL, 
	processing_metadata JSON, 
	PRIMARY KEY (batch_id), 
	FOREIGN KEY(batch_id) REFERENCES cj_batch_uploads (id)
);
INSERT INTO "cj_batch_states" VALUES(1,'COMPLETED',4,4,4,4,0,2,'2025-12-01 08:00:00.800000',1,95,'{"original_request": {"language": "en", "course_code": "ENG5", "cj_source": "els", "cj_request_type": "cj_comparison", "assignment_id": "assignment-1", "user_id": "teacher-1", "org_id": "school-1", "parent_id": null, "grade_scale": "swedish_8_anchor", "student_prompt_text": "The words of aa588d51d4e1889680c823851f79de03.", "student_prompt_storage_id": "prompt-1", "judge_rubric_text": "The words of 8f401b72f96184ecbeffd00166979a61.", "judge_rubric_storage_id": "rubric-1", "instructions_text": "Reward ideas.", "llm_config_overrides": {"provider_override": "mock", "model_override": "mock-model", "temperature_override": 0.1, "system_prompt_override": "You compare two essays that were written for the same assignment and say which one is better. Judge by the criteria you are given and by nothing else; where there are none, by how well an essay does what its assignment asks. Who wrote an essay, its length and the order in which the two are shown do not count. Justify your choice in at most 50 words and say how confident you are, from 1 to 5.", "max_tokens_override": null, "reasoning_effort": null, "output_verbosity": null}, "batch_config_overrides": null, "max_comparisons_override": 4, "dropped_essay_ids": []}, "comparison_budget": {"max_pairs_requested": 4, "source": "runner_override"}, "config_overrides": {"batch_size": null}, "llm_overrides": {"provider_override": "mock", "model_override": "mock-model", "temperature_override": 0.1, "system_prompt_override": "You compare two essays that were written for the same assignment and say which one is better. Judge by the criteria you are given and by nothing else; where there are none, by how well an essay does what its assignment asks. Who wrote an essay, its length and the order in which the two are shown do not count. Justify your choice in at most 50 words and say how confident you are, from 1 to 5.", "max_tokens_override": null, "reasoning_effort": null, "output_verbosity": null}, "llm_batching_mode": "serial_bundle", "trace_context": null, "bt_scores": {"essay-01": 3.6625692672015866, "ANCHOR_1_db26a130": 1.4873818248799089, "essay-00": -0.9800185460799371, "ANCHOR_2_c12a7343": -4.16993254600156}, "last_scored_iteration": 2, "last_score_change": 2.540884276990969, "max_possible_pairs": 6, "successful_pairs_count": 4, "unique_coverage_complete": false, "resampling_pass_count": 0, "is_small_net": false, "small_net_cap_reached": false, "failed_comparison_pool": [], "pool_statistics": {"total_failed": 0, "retry_attempts": 0, "last_retry_batch": null, "successful_retries": 0, "permanently_failed": 0}, "bt_se_summary": {"mean_se": 2.0, "max_se": 2.0, "min_se": 2.0, "item_count": 4, "comparison_count": 4, "items_at_cap": 4, "isolated_items": 0, "mean_comparisons_per_item": 2.0, "min_comparisons_per_item": 2, "max_comparisons_per_item": 2}, "bt_quality_flags": {"bt_se_inflated": true, "comparison_coverage_sparse": false, "has_isolated_items": false}, "grade_projection_summary": {"projections_available": false, "primary_grades": {}, "confidence_labels": {}, "confidence_scores": {}, "grade_probabilities": {}, "calibration_info": {}, "bt_stats": {}}}');
CREATE TABLE cj_batch_uploads (
	id INTEGER NOT NULL, 
	bos_batch_id VARCHAR(255) NOT NULL, 
	event_correlation_id VARCHAR(36) NOT NULL, 
	language VARCHAR(50) NOT NULL, 
	course_code VARCHAR(50) NOT NULL, 
	expected_essay_count INTEGER NOT NULL, 
	status VARCHAR(40) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	completed_at DATETIME, 
	processing_metadata JSON, 
	assignment_id VARCHAR(255), 
	user_id VARCHAR(255), 
	org_id VARCHAR(255), 
	PRIMARY KEY (id), 
	CONSTRAINT uq_cj_batch_request UNIQUE (bos_batch_id, event_correlation_id)
);
INSERT INTO "cj_batch_uploads" VALUES(1,'bos-1','04192277-7ff1-8c63-9a34-edce114f122c','en','ENG5',4,'COMPLETE_STABLE','2025-12-01 08:00:00.000000','2025-12-01 08:00:00.800000','2025-12-01 08:00:00.800000','{"student_prompt_storage_id": "prompt-1", "student_prompt_text": "The words of aa588d51d4e1889680c823851f79de03.", "judge_rubric_storage_id": "rubric-1", "judge_rubric_text": "The words of 8f401b72f96184ecbeffd00166979a61.", "original_request": {"language": "en", "course_code": "ENG5", "cj_source": "els", "cj_request_type": "cj_comparison", "assignment_id": "assignment-1", "user_id": "teacher-1", "org_id": "school-1", "parent_id": null, "grade_scale": "swedish_8_anchor", "student_prompt_text": "The words of aa588d51d4e1889680c823851f79de03.", "student_prompt_storage_id": "prompt-1", "judge_rubric_text": "The words of 8f401b72f96184ecbeffd00166979a61.", "judge_rubric_storage_id": "rubric-1", "instructions_text": "Reward ideas.", "llm_config_overrides": {"provider_override": "mock", "model_override": "mock-model", "temperature_override": 0.1, "system_prompt_override": "You compare two essays that were written for the same assignment and say which one is better. Judge by the criteria you are given and by nothing else; where there are none, by how well an essay does what its assignment asks. Who wrote an essay, its length and the order in which the two are shown do not count. Justify your choice in at most 50 words and say how confident you are, from 1 to 5.", "max_tokens_override": null, "reasoning_effort": null, "output_verbosity": null}, "batch_config_overrides": null, "max_comparisons_override": 4, "dropped_essay_ids": []}}','assignment-1','teacher-1','school-1');
CREATE TABLE cj_comparison_pairs (
	id INTEGER NOT NULL, 
	cj_batch_id INTEGER NOT NULL, 
	essay_a_els_id VARCHAR(255) NOT NULL, 
	essay_b_els_id VARCHAR(255) NOT NULL, 
	prompt_text TEXT NOT NULL, 
	request_correlation_id VARCHAR(36) NOT NULL, 
	submitted_at DATETIME, 
	completed_at DATETIME, 
	winner VARCHAR(20), 
	confidence FLOAT, 
	justification TEXT, 
	raw_llm_response TEXT, 
	error_code VARCHAR(100), 
	error_correlation_id VARCHAR(36), 
	error_timestamp DATETIME, 
	error_service VARCHAR(100), 
	error_details JSON, 
	processing_metadata JSON, 
	pair_generation_mode VARCHAR(20), 
	created_at DATETIME NOT NULL, 
	iteration INTEGER NOT NULL, 
	answer_number INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_cj_answer_number UNIQUE (cj_batch_id, answer_number), 
	FOREIGN KEY(cj_batch_id) REFERENCES cj_batch_uploads (id), 
	UNIQUE (request_correlation_id)
);
INSERT INTO "cj_comparison_pairs" VALUES(1,1,'ANCHOR_1_db26a130','essay-00','Student Assignment:
The words of aa588d51d4e1889680c823851f79de03.

Assessment Criteria:
Reward ideas.

Judge Instructions:
The words of 8f401b72f96184ecbeffd00166979a61.

Essay A:
The words of 47e9ee3f46b888c19a92d61cce6c6d2c.

Essay B:
The words of 930a84596ce7834b91cd567da1c6a8be.

Decide which of the two essays is the better answer to its assignment. Reply with the winner (''Essay A'' or ''Essay B''), a justification of at most 50 words, and your confidence from 1 to 5.','50f3ad17-5c50-83a6-bbc9-e767c810c6d6','2025-12-01 08:00:00.000000','2025-12-01 08:00:00.200000','essay_a',4.696,'The wording of Essay A is more precise and varied throughout.',NULL,NULL,NULL,NULL,NULL,NULL,'{"provider": "mock", "model": "mock-model", "response_time_ms": 200, "token_usage": {"prompt_tokens": 48, "completion_tokens": 19, "total_tokens": 67}, "cost_estimate": 0.0}','coverage','2025-12-01 08:00:00.000000',0,1);
INSERT INTO "cj_comparison_pairs" VALUES(2,1,'ANCHOR_2_c12a7343','essay-01','Student Assignment:
The words of aa588d51d4e1889680c823851f79de03.

Assessment Criteria:
Reward ideas.

Judge Instructions:
The words of 8f401b72f96184ecbeffd00166979a61.

Essay A:
The words of 3d6ece4bec338b19857111f87ba41fb2.

Essay B:
The words of b3037eeae62b821eadbcf898a0c7074a.

Decide which of the two essays is the better answer to its assignment. Reply with the winner (''Essay A'' or ''Essay B''), a justification of at most 50 words, and your confidence from 1 to 5.','e755dfb6-35e3-8296-bef1-de5114f62bec','2025-12-01 08:00:00.000000','2025-12-01 08:00:00.400000','essay_b',4.437,'Essay B has fewer language errors and reads with greater ease.',NULL,NULL,NULL,NULL,NULL,NULL,'{"provider": "mock", "model": "mock-model", "response_time_ms": 200, "token_usage": {"prompt_tokens": 48, "completion_tokens": 19, "total_tokens": 67}, "cost_estimate": 0.0}','coverage','2025-12-01 08:00:00.000000',0,2);
INSERT INTO "cj_comparison_pairs" VALUES(3,1,'essay-01','ANCHOR_1_db26a130','Student Assignment:
The words of aa588d51d4e1889680c823851f79de03.

Assessment Criteria:
Reward ideas.

Judge Instructions:
The words of 8f401b72f96184ecbeffd00166979a61.

Essay A:
The words of b3037eeae62b821eadbcf898a0c7074a.

Essay B:
The words of 47e9ee3f46b888c19a92d61cce6c6d2c.

Decide which of the two essays is the better answer to its assignment. Reply with the winner (''Essay A'' or ''Essay B''), a justification of at most 50 words, and your confidence from 1 to 5.','670b9ba5-06bf-8029-a844-a0af2df6c330','2025-12-01 08:00:00.400000','2025-12-01 08:00:00.600000','essay_a',4.716,'The wording of Essay A is more precise and varied throughout.',NULL,NULL,NULL,NULL,NULL,NULL,'{"provider": "mock", "model": "mock-model", "response_time_ms": 200, "token_usage": {"prompt_tokens": 48, "completion_tokens": 19, "total_tokens": 67}, "cost_estimate": 0.0}','coverage','2025-12-01 08:00:00.400000',1,3);
INSERT INTO "cj_comparison_pairs" VALUES(4,1,'essay-00','ANCHOR_2_c12a7343','Student Assignment:
The words of aa588d51d4e1889680c823851f79de03.

Assessment Criteria:
Reward ideas.

Judge Instructions:
The words of 8f401b72f96184ecbeffd00166979a61.

Essay A:
The words of 930a84596ce7834b91cd567da1c6a8be.

Essay B:
The words of 3d6ece4bec338b19857111f87ba41fb2.

Decide which of the two essays is the better answer to its assignment. Reply with the winner (''Essay A'' or ''Essay B''), a justification of at most 50 words, and your confidence from 1 to 5.','daa6633e-8896-8d7c-8b44-1da4f48128d2','2025-12-01 08:00:00.400000','2025-12-01 08:00:00.800000','essay_a',4.791,'The wording of Essay A is more precise and varied throughout.',NULL,NULL,NULL,NULL,NULL,NULL,'{"provider": "mock", "model": "mock-model", "response_time_ms": 200, "token_usage": {"prompt_tokens": 48, "completion_tokens": 19, "total_tokens": 67}, "cost_estimate": 0.0}','coverage','2025-12-01 08:00:00.400000',1,4);
CREATE TABLE cj_processed_essays (
	cj_batch_id INTEGER NOT NULL, 
	els_essay_id VARCHAR(255) NOT NULL, 
	text_storage_id VARCHAR(255) NOT NULL, 
	assessment_input_text TEXT NOT NULL, 
	current_bt_score FLOAT, 
	current_bt_se FLOAT, 
	comparison_count INTEGER NOT NULL, 
	is_anchor BOOLEAN NOT NULL, 
	processing_metadata JSON, 
	PRIMARY KEY (cj_batch_id, els_essay_id), 
	FOREIGN KEY(cj_batch_id) REFERENCES cj_batch_uploads (id)
);
INSERT INTO "cj_processed_essays" VALUES(1,'essay-00','text-00','The words of 930a84596ce7834b91cd567da1c6a8be.',-9.80018546079937102888e-01,2.0,2,0,'{"is_anchor": false}');
INSERT INTO "cj_processed_essays" VALUES(1,'essay-01','text-01','The words of b3037eeae62b821eadbcf898a0c7074a.',3.66256926720158659804e+00,2.0,2,0,'{"is_anchor": false}');
INSERT INTO "cj_processed_essays" VALUES(1,'ANCHOR_1_db26a130','anchor-text-F','The words of 47e9ee3f46b888c19a92d61cce6c6d2c.',1.48738182487990888702e+00,2.0,2,1,'{"is_anchor": true, "known_grade": "F", "anchor_grade": "F", "anchor_ref_id": 1, "anchor_label": "F", "text_storage_id": "anchor-text-F"}');
INSERT INTO "cj_processed_essays" VALUES(1,'ANCHOR_2_c12a7343','anchor-text-A','The words of 3d6ece4bec338b19857111f87ba41fb2.',-4.16993254600156,2.0,2,1,'{"is_anchor": true, "known_grade": "A", "anchor_grade": "A", "anchor_ref_id": 2, "anchor_label": "A", "text_storage_id": "anchor-text-A"}');
CREATE TABLE cj_processed_events (
	event_id VARCHAR(36) NOT NULL, 
	processed_at DATETIME NOT NULL, 
	PRIMARY KEY (event_id)
);
INSERT INTO "cj_processed_events" VALUES('3eac2428-ff61-846a-9ba0-d02116231691','2025-12-01 08:00:00.000000');
CREATE TABLE cj_quarantined_messages (
	id INTEGER NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	message_partition INTEGER DEFAULT '0' NOT NULL, 
	message_offset BIGINT NOT NULL, 
	reason VARCHAR(100) NOT NULL, 
	field VARCHAR(255) NOT NULL, 
	message BLOB NOT NULL, 
	received_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE cj_schema_versions (
	version INTEGER NOT NULL, 
	applied_at DATETIME NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "cj_schema_versions" VALUES(2,'2025-12-01 08:00:00.000000');
CREATE TABLE cj_state_snapshots (
	batch_id INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (batch_id), 
	FOREIGN KEY(batch_id) REFERENCES cj_batch_uploads (id)
);
INSERT INTO "cj_state_snapshots" VALUES(1,'{"version":1,"batch":{"bos_batch_id":"bos-1","cj_batch_id":1,"items":["ANCHOR_1_db26a130","ANCHOR_2_c12a7343","essay-00","essay-01"],"settings":{"pairing":"balanced","max_pairwise_comparisons":120,"min_comparisons_for_stability_check":12,"score_stability_threshold":0.025,"min_success_rate_threshold":0.8,"min_resampling_net_size":3,"max_resampling_passes_for_small_net":4,"max_resampling_passes_for_regular_batch":1,"matching_weight_comparison_count":1.0,"matching_weight_bt_proximity":0.5,"pair_generation_seed":7,"llm_batching_mode":"serial_bundle","llm_batch_api_allowed_providers":["openai","anthropic"],"enable_llm_batching_metadata_hints":false,"max_iterations":10,"metadata_hints":null,"enable_failed_comparison_retry":true,"failed_comparison_retry_threshold":20,"max_retry_attempts":3,"retry_batch_size":50,"bt_alpha":0.01},"seed":9307436306411130164,"plan":[],"max_pairs_requested":4,"resolved_batching_mode":"serial_bundle"},"waves":[{"comparisons":[{"correlation_id":"50f3ad17-5c50-83a6-bbc9-e767c810c6d6","essay_a":"ANCHOR_1_db26a130","essay_b":"essay-00","kind":"coverage","iteration":0,"retry_count":0,"retry_of":null},{"correlation_id":"e755dfb6-35e3-8296-bef1-de5114f62bec","essay_a":"ANCHOR_2_c12a7343","essay_b":"essay-01","kind":"coverage","iteration":0,"retry_count":0,"retry_of":null}],"answers":[["50f3ad17-5c50-83a6-bbc9-e767c810c6d6",{"winner":"ANCHOR_1_db26a130","error_code":null,"malformed":false}],["e755dfb6-35e3-8296-bef1-de5114f62bec",{"winner":"essay-01","error_code":null,"malformed":false}]]},{"comparisons":[{"correlation_id":"670b9ba5-06bf-8029-a844-a0af2df6c330","essay_a":"essay-01","essay_b":"ANCHOR_1_db26a130","kind":"coverage","iteration":1,"retry_count":0,"retry_of":null},{"correlation_id":"daa6633e-8896-8d7c-8b44-1da4f48128d2","essay_a":"essay-00","essay_b":"ANCHOR_2_c12a7343","kind":"coverage","iteration":1,"retry_count":0,"retry_of":null}],"answers":[["670b9ba5-06bf-8029-a844-a0af2df6c330",{"winner":"essay-01","error_code":null,"malformed":false}],["daa6633e-8896-8d7c-8b44-1da4f48128d2",{"winner":"essay-00","error_code":null,"malformed":false}]]}],"resampling_pass_count":0,"pool":{"entries":[],"statistics":{"total_failed":0,"retry_attempts":0,"last_retry_batch":null,"successful_retries":0,"permanently_failed":0}},"scores":{"ANCHOR_1_db26a130":1.4873818248799089,"ANCHOR_2_c12a7343":-4.16993254600156,"essay-00":-0.9800185460799371,"essay-01":3.6625692672015866},"status":"COMPLETED","upload_status":"COMPLETE_STABLE","decisions":[{"kind":"REQUEST_MORE_COMPARISONS","reason":"2 comparisons left","iteration":1,"callbacks":2,"success_rate":1.0,"max_score_change":null},{"kind":"FINALIZE_SCORING","reason":"reached_cap, budget_exhausted","iteration":2,"callbacks":4,"success_rate":1.0,"max_score_change":2.540884276990969}],"duplicate_callbacks":0,"late_callbacks":0,"orphan_callbacks":0,"abandoned":0}','2025-12-01 08:00:00.800000');
CREATE TABLE cj_topic_positions (
	topic VARCHAR(249) NOT NULL, 
	message_partition INTEGER DEFAULT '0' NOT NULL, 
	next_offset BIGINT NOT NULL, 
	PRIMARY KEY (topic, message_partition)
);
INSERT INTO "cj_topic_positions" VALUES('huleedu.els.cj_assessment.requested.v1',0,1);
INSERT INTO "cj_topic_positions" VALUES('huleedu.llm_provider.comparison_result.v1',0,4);
CREATE TABLE cj_wave_submissions (
	batch_id INTEGER NOT NULL, 
	iteration INTEGER NOT NULL, 
	sent BOOLEAN NOT NULL, 
	sender VARCHAR(36) NOT NULL, 
	lease_expires_at DATETIME NOT NULL, 
	PRIMARY KEY (batch_id, iteration), 
	FOREIGN KEY(batch_id) REFERENCES cj_batch_uploads (id)
);
INSERT INTO "cj_wave_submissions" VALUES(1,0,1,'a7517c75-b34a-411c-a674-901d060d67c2','2025-12-01 08:02:00.000000');
INSERT INTO "cj_wave_submissions" VALUES(1,1,1,'a7517c75-b34a-411c-a674-901d060d67c2','2025-12-01 08:02:00.400000');
CREATE TABLE event_outbox (
	id INTEGER NOT NULL, 
	aggregate_id VARCHAR(255) NOT NULL, 
	aggregate_type VARCHAR(100) NOT NULL, 
	event_type VARCHAR(255) NOT NULL, 
	event_data JSON NOT NULL, 
	event_key VARCHAR(255), 
	topic VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	published_at DATETIME, 
	retry_count INTEGER NOT NULL, 
	last_error TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_outbox_event UNIQUE (aggregate_id, event_type)
);
INSERT INTO "event_outbox" VALUES(1,'1','cj_batch','huleedu.assessment.result.published.v1','{"event_id": "f8b749a9-adee-84ed-8292-3fa0b870f7ea", "event_type": "huleedu.assessment.result.published.v1", "event_timestamp": "2025-12-01T08:00:00.800000+00:00", "source_service": "cj_assessment_service", "schema_version": 1, "correlation_id": "04192277-7ff1-8c63-9a34-edce114f122c", "data_schema_uri": null, "metadata": null, "data": {"event_name": "assessment.result.published", "entity_id": "bos-1", "entity_type": "batch", "parent_id": null, "timestamp": "2025-12-01T08:00:00.800000Z", "batch_id": "bos-1", "cj_assessment_job_id": "1", "assignment_id": "assignment-1", "assessment_method": "cj_assessment", "model_used": "mock-model", "model_provider": "mock", "model_version": null, "essay_results": [{"essay_id": "essay-01", "normalized_score": 0.0, "letter_grade": "U", "confidence_score": 0.0, "confidence_label": "LOW", "bt_score": 3.6625692672015866, "rank": 1, "is_anchor": false, "feedback_uri": null, "metrics_uri": null, "display_name": null, "grade": null}, {"essay_id": "ANCHOR_1_db26a130", "normalized_score": 0.0, "letter_grade": "F", "confidence_score": 1.0, "confidence_label": "HIGH", "bt_score": 1.4873818248799089, "rank": 2, "is_anchor": true, "feedback_uri": null, "metrics_uri": null, "display_name": "ANCHOR GRADE F", "grade": "F"}, {"essay_id": "essay-00", "normalized_score": 0.0, "letter_grade": "U", "confidence_score": 0.0, "confidence_label": "LOW", "bt_score": -0.9800185460799371, "rank": 3, "is_anchor": false, "feedback_uri": null, "metrics_uri": null, "display_name": null, "grade": null}, {"essay_id": "ANCHOR_2_c12a7343", "normalized_score": 1.0, "letter_grade": "A", "confidence_score": 1.0, "confidence_label": "HIGH", "bt_score": -4.16993254600156, "rank": 4, "is_anchor": true, "feedback_uri": null, "metrics_uri": null, "display_name": "ANCHOR GRADE A", "grade": "A"}], "assessment_metadata": {"anchor_essays_used": 2, "calibration_method": "default", "anchor_grade_distribution": {"A": 1, "B": 0, "C": 0, "D": 0, "E": 0, "F": 1, "U": 0}, "comparison_count": 4, "processing_duration_seconds": 0.8, "llm_temperature": 0.1, "assignment_id": "assignment-1", "course_code": "ENG5"}, "assessed_at": "2025-12-01T08:00:00.800000Z"}}','bos-1','huleedu.assessment.result.published.v1','2025-12-01 08:00:00.800000','2025-12-01 08:00:00.800000',0,NULL);
INSERT INTO "event_outbox" VALUES(2,'1','cj_batch','huleedu.cj_assessment.completed.v1','{"event_id": "40946eb6-8372-8eb6-985e-19e08912b75e", "event_type": "huleedu.cj_assessment.completed.v1", "event_timestamp": "2025-12-01T08:00:00.800000+00:00", "source_service": "cj_assessment_service", "schema_version": 1, "correlation_id": "04192277-7ff1-8c63-9a34-edce114f122c", "data_schema_uri": null, "metadata": null, "data": {"event_name": "cj_assessment.completed", "entity_id": "bos-1", "entity_type": "batch", "parent_id": null, "timestamp": "2025-12-01T08:00:00.800000Z", "status": "completed_successfully", "system_metadata": {"entity_id": "bos-1", "entity_type": "batch", "parent_id": null, "timestamp": "2025-12-01T08:00:00.800000Z", "processing_stage": "completed", "event": "cj_assessment.completed", "started_at": "2025-12-01T08:00:00Z", "completed_at": "2025-12-01T08:00:00.800000Z", "error_info": null}, "cj_assessment_job_id": "1", "processing_summary": {"total_essays": 2, "successful": 2, "failed": 0, "successful_essay_ids": ["essay-00", "essay-01"], "failed_essay_ids": [], "processing_time_seconds": 0.8, "single_essay_batch": false}}}','bos-1','huleedu.cj_assessment.completed.v1','2025-12-01 08:00:00.800000','2025-12-01 08:00:00.800000',0,NULL);
INSERT INTO "event_outbox" VALUES(3,'1','cj_batch','huleedu.resource.consumption.v1','{"event_id": "30c8a8f5-f6a6-8c27-b6bf-982678ada40b", "event_type": "huleedu.resource.consumption.v1", "event_timestamp": "2025-12-01T08:00:00.800000+00:00", "source_service": "cj_assessment_service", "schema_version": 1, "correlation_id": "04192277-7ff1-8c63-9a34-edce114f122c", "data_schema_uri": null, "metadata": null, "data": {"event_name": "resource.consumption.reported", "entity_id": "bos-1", "entity_type": "batch", "parent_id": null, "timestamp": "2025-12-01T08:00:00.800000Z", "user_id": "teacher-1", "org_id": "school-1", "resource_type": "cj_comparison", "quantity": 4, "service_name": "cj_assessment_service", "processing_id": "1", "consumed_at": "2025-12-01T08:00:00.800000Z"}}','bos-1','huleedu.resource.consumption.v1','2025-12-01 08:00:00.800000','2025-12-01 08:00:00.800000',0,NULL);
CREATE TABLE grade_projections (
	els_essay_id VARCHAR(255) NOT NULL, 
	cj_batch_id INTEGER NOT NULL, 
	primary_grade VARCHAR(10) NOT NULL, 
	grade_scale VARCHAR(50) NOT NULL, 
	confidence_score FLOAT NOT NULL, 
	confidence_label VARCHAR(10) NOT NULL, 
	population_prior FLOAT, 
	assessment_method VARCHAR(50) NOT NULL, 
	model_used VARCHAR(100), 
	model_provider VARCHAR(50), 
	normalized_score FLOAT, 
	calculation_metadata JSON NOT NULL, 
	PRIMARY KEY (els_essay_id, cj_batch_id), 
	FOREIGN KEY(cj_batch_id) REFERENCES cj_batch_uploads (id)
);
CREATE INDEX ix_cj_batch_uploads_status ON cj_batch_uploads (status);
CREATE INDEX ix_cj_batch_uploads_bos_batch_id ON cj_batch_uploads (bos_batch_id);
CREATE INDEX ix_cj_batch_uploads_assignment_id ON cj_batch_uploads (assignment_id);
CREATE INDEX ix_outbox_unpublished ON event_outbox (id) WHERE published_at IS NULL;
CREATE INDEX ix_cj_batch_states_state ON cj_batch_states (state);
CREATE INDEX ix_cj_comparison_pairs_cj_batch_id ON cj_comparison_pairs (cj_batch_id);
CREATE INDEX ix_cj_wave_submissions_sent ON cj_wave_submissions (sent);
COMMIT;
