//! The contracts between the services and with the world: gRPC services, log records, JSON mapping.
