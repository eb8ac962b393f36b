-- Whether somebody was shown exactly this plan before is asked each time that a page is opened in a new process.

CREATE INDEX audit_plan_shown_idx ON home.audit (subject, who, environment) WHERE deed = 'plan shown';
