//! Post-build variable substitution with envsubst's grammar.
