namespace Proxy.Chat;

/// <summary>A way of answering calls.</summary>
internal interface IChatRoute
{
    /// <summary>A name for the log: direct, rag, workflow.</summary>
    string Name { get; }

    /// <summary>True if this route answers the call. The routes are asked in order; the first that takes the call gets it.</summary>
    bool Takes(in RoutedCall call);

    /// <summary>Answers the call. The token is cancelled when the client has left or the process stops.</summary>
    ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation);
}
