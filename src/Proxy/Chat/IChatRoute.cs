namespace Proxy.Chat;

/// <summary>A way of answering calls.</summary>
internal interface IChatRoute
{
    /// <summary>A name for the log: direct, rag, workflow.</summary>
    string Name { get; }

    /// <summary>
    /// Adds what the body asks of this route although neither the model's name nor a header does. Called for every call, so it must be cheap where there is
    /// nothing to add.
    /// </summary>
    RoutedCall Read(in RoutedCall call) => call;

    /// <summary>True if this route answers the call. The routes are asked in order; the first that takes the call gets it.</summary>
    bool Takes(in RoutedCall call);

    /// <summary>Answers the call. The token is cancelled when the client has left or the process stops.</summary>
    ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation);
}
