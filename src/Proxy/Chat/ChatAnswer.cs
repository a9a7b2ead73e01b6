namespace Proxy.Chat;

/// <summary>The result of a route. Only the folder Http writes it to the client.</summary>
internal abstract record ChatAnswer
{
    private ChatAnswer() { }

    /// <summary>Response headers that the route adds. They are set before the first byte.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>What answered, for the log, if it was not the call's route.</summary>
    public string? By { get; init; }

    /// <summary>A backend's reply in the client's dialect, relayed as bytes.</summary>
    public sealed record Verbatim(BackendReply Reply) : ChatAnswer;

    /// <summary>A backend's reply in another dialect, or a stream if the client wants a document, or a document if it wants a stream.</summary>
    public sealed record Translated(BackendReply Reply) : ChatAnswer
    {
        /// <summary>The sources that the route found before the host was asked.</summary>
        public IReadOnlyList<Source>? Sources { get; init; }

        /// <inheritdoc cref="RoutedCall.Search"/>
        public SearchNote? Search { get; init; }

        /// <summary>Makes the reader of the reply's frames; null: the reader is the one of its dialect.</summary>
        public Func<EventReader>? NewReader { get; init; }

        /// <inheritdoc cref="Events.Whole"/>
        public bool Whole { get; init; }

        /// <inheritdoc cref="Events.RunId"/>
        public string? RunId { get; init; }
    }

    /// <summary>
    /// Events to write in the client's dialect; a whole answer is made of all of them. <paramref name="Backend"/> is the backend that answers, if one does, and
    /// <paramref name="Served"/> the model's name there. Enumerate once: the end of the enumeration releases the slot.
    /// </summary>
    public sealed record Events(IAsyncEnumerable<ChatEvent> Stream, string? Backend, string? Served) : ChatAnswer
    {
        /// <summary>Write one document even if the client asked for a stream: the answer has no parts to stream.</summary>
        public bool Whole { get; init; }

        /// <summary>Silence after which the client of a stream gets a keep-alive; null: as the configuration says.</summary>
        public TimeSpan? KeepAliveAfter { get; init; }

        /// <inheritdoc cref="BackendReply.IsPublished"/>
        public bool IsPublished { get; init; }

        /// <inheritdoc cref="Translated.Sources"/>
        public IReadOnlyList<Source>? Sources { get; init; }

        /// <inheritdoc cref="RoutedCall.Search"/>
        public SearchNote? Search { get; init; }

        /// <summary>The id of the workflow's run.</summary>
        public string? RunId { get; init; }
    }

    public sealed record Refused(ProxyError Error) : ChatAnswer;
}
