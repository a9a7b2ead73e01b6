namespace Proxy.Cli.Doctor;

/// <summary>How a finding is judged: <c>Warn</c> costs something or will cost something, <c>Fail</c> does not work now.</summary>
internal enum Mark { Ok, Warn, Fail }

/// <summary>One line of <c>proxy doctor</c>. <paramref name="Advice"/> says what to do; null if nothing has to be done.</summary>
internal sealed record Finding(Mark Mark, string Text, string? Advice = null)
{
    public static Finding Ok(string text) => new(Mark.Ok, text);
}

/// <summary>
/// One check of <c>proxy doctor</c>. All run side by side, each with a time limit. <paramref name="Area"/> is the word in front of its lines,
/// <paramref name="Subject"/> names what is checked if no result comes in time.
/// </summary>
internal sealed record DoctorCheck(string Area, string Subject, Func<CancellationToken, ValueTask<IReadOnlyList<Finding>>> Run)
{
    /// <summary>A check that waits for nothing but this machine.</summary>
    public static DoctorCheck Of(string area, string subject, Func<IEnumerable<Finding>> look) =>
        new(area, subject, cancellation => new(Task.Run<IReadOnlyList<Finding>>(() => [.. look()], cancellation)));
}
