using System.Runtime.CompilerServices;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// The built-in backend, which repeats the last user message word by word. It is not a model; it shows a stream and lets clients be tested without a host.
/// Counts words as tokens.
/// </summary>
internal static class EchoBackend
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);

    public static async IAsyncEnumerable<ChatEvent> AnswerAsync(
        ChatRequest request, Lease lease, TimeProvider time, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var held = lease;
        var said = request.Messages.LastOrDefault(m => m.Role is ChatRole.User);
        var text = string.Concat(said?.Content.OfType<ContentPart.Text>().Select(part => part.Value) ?? []);
        if (text.Length == 0) text = "(the last user message has no text)";
        yield return new ChatEvent.Started(null, null, null);
        yield return new ChatEvent.RoleGiven(ChatRole.Assistant);

        var words = 0;
        for (var start = 0; start < text.Length; words++)
        {
            var end = text.AsSpan(start).IndexOf(' ') is var space and >= 0 ? start + space + 1 : text.Length;
            yield return new ChatEvent.Token(text[start..end]);
            start = end;
            if (request.Stream && start < text.Length) await Task.Delay(Pace, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellation.IsCancellationRequested) yield break;
        }

        var asked = request.Messages.Sum(m => m.Content.OfType<ContentPart.Text>().Sum(part => part.Value.Count(c => c == ' ') + 1));
        yield return new ChatEvent.UsageReported(new Usage(asked, words));
        yield return new ChatEvent.Finished(FinishReason.Stop);
    }
}
