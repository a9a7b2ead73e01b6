namespace Proxy.Config;

/// <summary>The result of a reload.</summary>
/// <param name="Problems">Why the file was refused; if there are any, nothing has changed.</param>
/// <param name="NeedsRestart">The settings, such as <c>[server] listen</c>, that differ from those in use and take effect at the next start only.</param>
internal sealed record ReloadOutcome(IReadOnlyList<ConfigProblem> Problems, IReadOnlyList<string> NeedsRestart);
