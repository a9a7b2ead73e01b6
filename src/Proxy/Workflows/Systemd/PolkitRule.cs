using System.Text;
using Proxy.Config;

namespace Proxy.Workflows.Systemd;

/// <summary>The rule by which polkit lets the service's user start and stop the units of the pipelines, and nothing else.</summary>
internal static class PolkitRule
{
    /// <summary>Where polkit reads it.</summary>
    public const string File = "/etc/polkit-1/rules.d/50-proxy.rules";

    /// <summary>The user of the packaged service.</summary>
    public const string User = "llm-proxy";

    /// <summary>The command that writes it.</summary>
    private const string Install = $"sudo proxy polkit | sudo tee {File}";

    /// <summary>The file's text: JavaScript.</summary>
    /// <param name="pipelines">The configured pipelines; those of other launchers are left out.</param>
    /// <param name="user">The service's user. Letters, digits, <c>_</c> and <c>-</c>.</param>
    public static string Text(IReadOnlyList<PipelineConfig> pipelines, string user)
    {
        var names = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var pipeline in pipelines)
            if (pipeline is { Launcher: "systemd", Unit: { } unit }) names.Add(unit[..unit.IndexOf('@')]);
        var text = new StringBuilder("// Written by: proxy polkit. Do not edit it; write it again when [[pipelines]] has changed.\n");
        if (names.Count == 0) return text.Append("// No pipeline has the launcher \"systemd\": nothing is granted.\n").ToString();

        // A transient unit is whatever its caller says, run as root. Newer versions of systemd ask for it with the same verb and unit as for a unit that is
        // installed, and only the question's text differs; older ones ask without a unit. So the text has to be that of a start or a stop.
        return text.Append(
            $$"""
            // {{user}} may start and stop the units of these templates whose instance is a trace id: no other units, and none that a caller defines.
            polkit.addRule(function (action, subject) {
                if (action.id != "org.freedesktop.systemd1.manage-units" || subject.user != "{{user}}") return polkit.Result.NOT_HANDLED;
                var verb = action.lookup("verb");
                if ((verb == "start" || verb == "stop")
                    && action.lookup("polkit.message") == "Authentication is required to " + verb + " '$(unit)'."
                    && /^(?:{{string.Join('|', names)}})@[0-9A-HJKMNP-TV-Z]{26}\.service$/.test(action.lookup("unit"))) return polkit.Result.YES;
                return polkit.Result.NO;
            });

            """).ToString();
    }

    /// <summary>What to do where polkit refuses.</summary>
    public static string Remedy() => Missing() is { } package ? $"install the package {package}, then run {Install}" : $"run {Install}";

    /// <summary>The package without which the rule cannot work; null: all are there.</summary>
    private static string? Missing()
    {
        try
        {
            if (!System.IO.File.Exists("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service")) return "polkitd";
            foreach (var line in System.IO.File.ReadLines("/etc/nsswitch.conf"))
                if (line.StartsWith("passwd:", StringComparison.Ordinal) && !line.Contains("systemd", StringComparison.Ordinal)) return "libnss-systemd";
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            // Not a Debian: the rule's absence is the likelier reason.
        }

        return null;
    }

    /// <summary>What keeps polkit from letting the service start units, as far as this process can see; null: nothing.</summary>
    public static string? Fault(IReadOnlyList<PipelineConfig> pipelines)
    {
        if (Missing() is { } package) return $"the package {package} is missing, without which the service may not start units";
        try
        {
            // The folder is readable for root and polkit only.
            return !Environment.IsPrivilegedProcess || System.IO.File.Exists(File) && System.IO.File.ReadAllText(File) == Text(pipelines, User) ? null
                : $"{File} is missing or out of date, so the service may not start all units: run {Install}";
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
