namespace Proxy.Config;

/// <summary>What a reload came to.</summary>
/// <param name="Problems">Why the file was not taken; then nothing has changed.</param>
/// <param name="NeedsRestart">Where the file, which was taken, says something else than what runs, in parts that only a start can change: <c>[server]
/// listen</c>.</param>
internal sealed record ReloadOutcome(IReadOnlyList<ConfigProblem> Problems, IReadOnlyList<string> NeedsRestart);
