using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>The log line of one finished call.</summary>
internal sealed record CallLine(JsonElement Line)
{
    public string? this[string name] => ProxyLog.Text(Line, name);

    public string? Outcome => this["outcome"];
    public string? Fault => this["fault"];
    public string? Backend => this["backend"];
    public string? Status => this["status"];

    /// <summary>Outcome, fault and status in one, so that a failed assertion shows all three.</summary>
    public string Verdict => $"{Outcome} {Fault} {Status}";
}
