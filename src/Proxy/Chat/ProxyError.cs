namespace Proxy.Chat;

/// <summary>All reasons for which a call is refused or breaks off. <see cref="ProxyErrorTable"/> has the status and names of each.</summary>
internal enum ProxyErrorKind
{
    InvalidRequest,
    ContextLengthExceeded,
    Unauthenticated,
    Forbidden,
    UnknownModel,
    UnknownPath,
    WrongMethod,
    BodyTooLarge,
    UnsupportedMediaType,
    RateLimited,
    NotImplemented,
    QueueFull,
    NoBackend,
    Draining,

    /// <summary>This process has no file descriptors left, so it cannot connect to a host.</summary>
    OutOfDescriptors,

    /// <summary>The host's own error, with its status, a 4xx above all: <see cref="ProxyError.Status"/> and the message are the host's.</summary>
    HostRefused,

    /// <summary>The host rejects the proxy's credentials: a mistake in our configuration, not the client's.</summary>
    HostUnauthorized,

    /// <summary>The host could not be reached, broke off, or sent an invalid answer.</summary>
    HostFailed,
    HostTimedOut,

    /// <summary>The call has already passed through this proxy, or through too many proxies. Forwarded again it might circulate for ever.</summary>
    ProxyLoop,

    /// <summary>The generation was cancelled by its owner, or because no client waited for it any more.</summary>
    Cancelled,

    /// <summary>An <c>Idempotency-Key</c> was sent before with another request.</summary>
    KeyReused,

    /// <summary>The answer was kept, and is not kept any more.</summary>
    StreamExpired,

    /// <summary>The database of records cannot be used.</summary>
    StoreFailed,

    /// <summary><c>previous_response_id</c> names no response that this caller can continue.</summary>
    UnknownPreviousResponse,

    /// <summary>A workspace that does not exist, or that this caller may not know of.</summary>
    UnknownWorkspace,

    /// <summary>A pipeline that is not configured.</summary>
    UnknownPipeline,

    /// <summary>A file that does not exist, or that this caller may not know of.</summary>
    UnknownFile,

    /// <summary>The client left before its answer was complete. For the log: no client is told.</summary>
    ClientLeft,

    /// <summary>A bug of ours.</summary>
    Internal,
}

/// <summary>A refusal or failure, with a message that the client's user can act on.</summary>
internal sealed record ProxyError(ProxyErrorKind Kind, string Message)
{
    /// <summary>The field of the request that caused the error, if there is one.</summary>
    public string? Param { get; init; }

    /// <summary>A machine-readable code that is more specific than the kind's, for example a host's <c>context_length_exceeded</c>.</summary>
    public string? Code { get; init; }

    /// <summary>The requested model, if the error is about it. Some dialects name it in a sentence of their own.</summary>
    public string? Model { get; init; }

    /// <summary>The error's type as the host named it, if the host refused.</summary>
    public string? HostType { get; init; }

    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The backend that failed or refused, for the log. This field is never sent to a client.</summary>
    public string? Backend { get; init; }

    /// <summary>The HTTP status: the host's own if the host refused, otherwise the kind's.</summary>
    public int Status { get => field != 0 ? field : ProxyErrorTable.Of(Kind).Status; init; }
}

/// <summary>One row for each kind: the HTTP status, and the name in each dialect.</summary>
internal readonly record struct ProxyErrorRow(int Status, string OpenAiType, string Code, string AnthropicType)
{
    /// <summary>
    /// True if a retry of the same call would be refused again. SDKs retry after every 5xx, so they are told not to (<c>x-should-retry: false</c>).
    /// </summary>
    public bool IsFinal { get; init; }
}

internal static class ProxyErrorTable
{
    /// <summary>The row of an error. A host's refusal gets the name that matches its status, because clients expect the two to agree.</summary>
    public static ProxyErrorRow Of(ProxyError error) => error switch
    {
        { Kind: ProxyErrorKind.HostRefused, Status: 429 } => Of(ProxyErrorKind.RateLimited),
        { Kind: ProxyErrorKind.HostRefused, Status: 508 } => Of(ProxyErrorKind.ProxyLoop),
        { Kind: ProxyErrorKind.HostRefused, Status: >= 500 } =>
            Of(ProxyErrorKind.HostRefused) with { OpenAiType = "backend_error", AnthropicType = "api_error" },
        _ => Of(error.Kind),
    };

    public static ProxyErrorRow Of(ProxyErrorKind kind) => kind switch
    {
        ProxyErrorKind.InvalidRequest => new(400, "validation_error", "invalid_request", "invalid_request_error"),
        ProxyErrorKind.ContextLengthExceeded => new(400, "validation_error", "context_length_exceeded", "invalid_request_error"),
        ProxyErrorKind.Unauthenticated => new(401, "authentication_error", "invalid_api_key", "authentication_error"),
        ProxyErrorKind.Forbidden => new(403, "permission_error", "forbidden", "permission_error"),
        ProxyErrorKind.UnknownModel => new(404, "validation_error", "model_not_found", "not_found_error"),
        ProxyErrorKind.UnknownPath => new(404, "validation_error", "unknown_path", "not_found_error"),
        ProxyErrorKind.WrongMethod => new(405, "validation_error", "method_not_allowed", "invalid_request_error"),
        ProxyErrorKind.BodyTooLarge => new(413, "validation_error", "body_too_large", "request_too_large"),
        ProxyErrorKind.UnsupportedMediaType => new(415, "validation_error", "unsupported_media_type", "invalid_request_error"),
        ProxyErrorKind.RateLimited => new(429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
        ProxyErrorKind.NotImplemented => new(501, "proxy_error", "not_implemented", "api_error"),
        ProxyErrorKind.QueueFull => new(503, "proxy_error", "queue_full", "overloaded_error"),
        ProxyErrorKind.NoBackend => new(503, "proxy_error", "no_backend", "overloaded_error"),
        ProxyErrorKind.Draining => new(503, "proxy_error", "draining", "overloaded_error"),
        ProxyErrorKind.OutOfDescriptors => new(503, "proxy_error", "out_of_descriptors", "overloaded_error"),
        ProxyErrorKind.HostRefused => new(400, "validation_error", "host_refused", "invalid_request_error"),
        ProxyErrorKind.HostUnauthorized => new(502, "backend_error", "backend_unauthorized", "api_error"),
        ProxyErrorKind.HostFailed => new(502, "backend_error", "backend_failed", "api_error"),
        ProxyErrorKind.HostTimedOut => new(504, "backend_error", "backend_timeout", "timeout_error"),
        ProxyErrorKind.ProxyLoop => new(508, "proxy_error", "proxy_loop", "api_error") { IsFinal = true },
        ProxyErrorKind.StoreFailed => new(503, "proxy_error", "store_failed", "api_error"),
        ProxyErrorKind.Cancelled => new(409, "validation_error", "cancelled", "api_error") { IsFinal = true },
        ProxyErrorKind.KeyReused => new(422, "validation_error", "idempotency_key_reused", "invalid_request_error") { IsFinal = true },
        ProxyErrorKind.StreamExpired => new(410, "validation_error", "stream_expired", "not_found_error") { IsFinal = true },
        ProxyErrorKind.UnknownPreviousResponse => new(404, "validation_error", "previous_response_not_found", "not_found_error") { IsFinal = true },
        ProxyErrorKind.UnknownWorkspace => new(404, "validation_error", "workspace_not_found", "not_found_error") { IsFinal = true },
        ProxyErrorKind.UnknownPipeline => new(404, "validation_error", "pipeline_not_found", "not_found_error") { IsFinal = true },
        ProxyErrorKind.UnknownFile => new(404, "validation_error", "file_not_found", "not_found_error") { IsFinal = true },
        ProxyErrorKind.ClientLeft => new(499, "proxy_error", "client_left", "api_error"),
        _ => new(500, "proxy_error", "internal", "api_error"),
    };
}
