namespace Proxy.Chat;

/// <summary>What a route returns. Nothing below Http writes to a client.</summary>
internal abstract record ChatAnswer
{
    private ChatAnswer() { }

    /// <summary>Response headers that the route adds. They are set before the first byte.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>A backend's own bytes, in the client's dialect.</summary>
    public sealed record Verbatim(BackendReply Reply) : ChatAnswer;

    /// <summary>A backend's answer in another dialect, or in pieces where the client wants a document, or the other way round.</summary>
    public sealed record Translated(BackendReply Reply) : ChatAnswer
    {
        /// <summary>The sources that the route found before the host was asked.</summary>
        public IReadOnlyList<Source>? Sources { get; init; }
    }

    /// <summary>
    /// Events to write in the client's dialect; a whole answer is made of all of them. <paramref name="Backend"/> is the backend that answers, if one does, and
    /// <paramref name="Served"/> the model's name there. Enumerate once: the end of the enumeration releases the slot.
    /// </summary>
    public sealed record Events(IAsyncEnumerable<ChatEvent> Stream, string? Backend, string? Served) : ChatAnswer
    {
        /// <summary>One document even for a client that wants a stream: what it asked for has no pieces.</summary>
        public bool Whole { get; init; }

        /// <summary>Silence after which the client of a stream gets a keep-alive; null: as the configuration says.</summary>
        public TimeSpan? KeepAliveAfter { get; init; }

        /// <summary>The id of the workflow's run.</summary>
        public string? RunId { get; init; }
    }

    public sealed record Refused(ProxyError Error) : ChatAnswer;
}

/// <summary>Answers a call, somehow.</summary>
internal interface IChatRoute
{
    /// <summary>A name for the log: direct, rag, workflow.</summary>
    string Name { get; }

    /// <summary>True if this route answers the call. The routes are asked in order; the first that takes the call gets it.</summary>
    bool Takes(in RoutedCall call);

    /// <summary>Cancelled when the client left or the process stops.</summary>
    ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation);
}
