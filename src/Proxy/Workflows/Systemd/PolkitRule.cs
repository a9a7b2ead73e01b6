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
    public static string Remedy() => HasPolkit ? $"run {Install}" : $"install the package polkitd, then run {Install}";

    /// <summary>What to do where D-Bus lets the service not in; null: its user is not the reason.</summary>
    public static string? UserRemedy()
    {
        try
        {
            foreach (var line in System.IO.File.ReadLines("/etc/passwd"))
                if (line.StartsWith(User + ":", StringComparison.Ordinal)) return null;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        // dbus-daemon must not ask systemd, so it does not know the users that systemd makes for one run of a service.
        return $"dbus-daemon lets only users in that are in /etc/passwd: stop the proxy, run sudo useradd --system --no-create-home {User}, start the proxy";
    }

    /// <summary>What keeps the service from starting units, as far as this process can see; null: nothing.</summary>
    public static string? Fault(IReadOnlyList<PipelineConfig> pipelines)
    {
        if (!HasPolkit) return "the package polkitd is missing, without which the service may not start units";
        if (UserRemedy() is { } user) return user;
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

    private static bool HasPolkit => System.IO.File.Exists("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service");
}
