namespace Proxy.Workflows.Systemd;

/// <summary>The properties of a service, in systemd's words. Lock it while you read it: it is written by the thread that reads the connection.</summary>
internal sealed class UnitState
{
    /// <summary><c>loaded</c>, <c>not-found</c>, <c>bad-setting</c>, <c>error</c> or <c>masked</c>.</summary>
    public string Load = "";

    /// <summary><c>inactive</c>, <c>activating</c> (a oneshot that runs), <c>active</c>, <c>deactivating</c>, <c>failed</c>.</summary>
    public string Active = "";

    /// <summary>More of the same: <c>exited</c> if a oneshot is over and <c>RemainAfterExit=</c> keeps it active.</summary>
    public string Sub = "";

    /// <summary>A start or a stop of it is queued or under way.</summary>
    public bool HasJob;

    /// <summary><c>success</c>, <c>exit-code</c>, <c>signal</c>, <c>timeout</c>, <c>oom-kill</c> …</summary>
    public string Result = "success";

    /// <summary>The main process's exit code, or the signal that killed it.</summary>
    public int Status;

    public bool WasKilled;

    /// <summary>The unit's setting <c>Restart=</c>.</summary>
    public string Restart = "no";

    /// <summary>The unit's setting <c>StandardInput=</c>, without the file's name.</summary>
    public string Input = "";

    public bool IsOver => Active is "inactive" or "failed" || Sub is "exited";

    /// <summary>Why no job can run as an instance of this unit; null: one can.</summary>
    /// <param name="unit">The unit's name, or its template's.</param>
    public string? Unfit(string unit) => (Load, Restart) switch
    {
        ("not-found", _) => $"there is no unit {unit}: put its template into /etc/systemd/system and run systemctl daemon-reload",
        ("loaded", "no") => null,
        ("loaded", _) => $"the unit {unit} sets Restart={Restart}, which would run a job again after its end: remove that line from its template",
        _ => $"systemd cannot use the unit {unit} ({Load}): systemctl status {unit} says why",
    };
}
