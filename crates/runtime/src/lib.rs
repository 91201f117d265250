//! What every service needs before it does its own job: configuration, telemetry, health, shutdown, access.
