use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::{LogError, TopicPartition};

/// What a client's error means for whoever used the log.
pub(super) fn log_error(error: &KafkaError) -> LogError {
    if let KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) = error {
        return LogError::Refused(error.to_string());
    }
    match error.rdkafka_error_code() {
        Some(code) => code_error(code, error.to_string()),
        None => LogError::Unavailable(error.to_string()),
    }
}

/// What a code means; `said` tells what was tried.
pub(super) fn code_error(code: Code, said: String) -> LogError {
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::PolicyViolation
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::InvalidArgument
        | Code::InvalidRequest
        | Code::InvalidMessage
        | Code::InvalidRecord
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::InconsistentGroupProtocol
        | Code::InvalidSessionTimeout
        | Code::InvalidTransactionTimeout => LogError::Refused(said),
        _ => LogError::Unavailable(said),
    }
}

/// As [`log_error`], for what concerns one partition.
pub(super) fn partition_error(error: &KafkaError, partition: &TopicPartition) -> LogError {
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic) => LogError::UnknownTopic(partition.topic.to_string()),
        Some(Code::UnknownPartition | Code::UnknownTopicOrPartition) => {
            LogError::UnknownPartition(partition.clone())
        }
        _ => log_error(error),
    }
}

/// What a record's delivery report means.
pub(super) fn delivery_error(
    error: &KafkaError,
    partition: &TopicPartition,
    size: usize,
) -> LogError {
    match error.rdkafka_error_code() {
        // The request may have reached the broker before the time was over.
        Some(
            Code::MessageTimedOut
            | Code::PurgeInflight
            | Code::PurgeQueue
            | Code::Fatal
            | Code::GaplessGuarantee
            | Code::RequestTimedOut
            | Code::NotEnoughReplicasAfterAppend,
        ) => LogError::Ambiguous(error.to_string()),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => LogError::TooLarge {
            partition: partition.clone(),
            size,
            limit: crate::MAX_RECORD_BYTES,
        },
        _ => partition_error(error, partition),
    }
}
