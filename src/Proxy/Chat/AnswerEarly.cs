namespace Proxy.Chat;

/// <summary>Answers a call in place of its route, before the route is asked. Null: the route answers.</summary>
internal delegate ValueTask<ChatAnswer?> AnswerEarly(RoutedCall call, CancellationToken cancellation);
