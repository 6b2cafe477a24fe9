-- Run once, by an empty PostgreSQL: POSTGRES_DB is the CJ service's database, this is Dagster's.
CREATE DATABASE dagster;
