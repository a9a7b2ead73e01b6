using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>The request of an answer that can be fetched, and continued, by the answer's own id.</summary>
/// <param name="Name">The id by which the client knows the answer before it begins.</param>
/// <param name="Body">The request's body. Of a call that continues another answer: with the earlier conversation in front.</param>
/// <param name="Earlier">The number of items of the earlier conversation.</param>
/// <param name="Terms">How the answer is kept.</param>
/// <param name="AnswersAtOnce">The client does not wait for the answer: it gets the id and asks later.</param>
internal sealed record KeptRequest(string Name, byte[] Body, int Earlier, KeepingTerms Terms, bool AnswersAtOnce);
