//! Empty: the tests stand in tests/tests.
