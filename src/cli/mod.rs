//! What people see: the commands of `routelet`, as tables and as JSON.
