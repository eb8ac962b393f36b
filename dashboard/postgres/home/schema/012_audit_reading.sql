-- The audit is read by kind and by environment.

CREATE INDEX audit_deed_idx ON home.audit (deed, id DESC);
CREATE INDEX audit_environment_idx ON home.audit (environment, id DESC);
