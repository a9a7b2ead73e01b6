-- PostgreSQL on storage: sudo -u postgres psql -v password="$DATABASE_PASSWORD" -f setup.sql
create role proxy login password :'password';
create database llm owner proxy;
\connect llm
-- Workspaces of documents need pgvector (in Debian: postgresql-17-pgvector), which only a superuser may add.
create extension if not exists vector;
