-- Workspaces of documents need it.
create extension if not exists vector;
