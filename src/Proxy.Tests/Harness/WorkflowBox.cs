namespace Proxy.Tests.Harness;

/// <summary>A booted Debian 13 that can run pipelines as units: with polkit, the names of dynamic users, and a NATS server.</summary>
public sealed class WorkflowBox : SystemdBox
{
    /// <summary>The name of the tests that share a box.</summary>
    internal const string Shared = "workflow box";

    private protected override Task<string> TreeAsync() => DebianTree.WithSystemdAsync("trixie", "polkitd", "libpam-systemd", "libnss-systemd", "nats-server");

    /// <summary>Writes a template unit and has systemd read it.</summary>
    /// <param name="name">Its name, without the ending.</param>
    /// <param name="service">The lines of its <c>[Service]</c>. The job is at <c>/run/proxy/jobs/%i.json</c>.</param>
    internal async Task TemplateAsync(string name, string service)
    {
        await File.WriteAllTextAsync(Inside($"/etc/systemd/system/{name}.service"), $"""
            [Unit]
            CollectMode=inactive-or-failed
            [Service]
            StandardInput=file:/run/proxy/jobs/%i.json
            {service}

            """);
        await RunAsync("systemctl", "daemon-reload");
    }

    /// <summary>Calls systemd's manager as a user, in a sandbox like the packaged service's. The user is made for the call, unless there is one.</summary>
    /// <returns>The exit code, and what D-Bus answered.</returns>
    internal Task<(int ExitCode, string Output)> CallAsAsync(string user, params string[] call) => TryAsync(
    [
        "systemd-run", "--quiet", "--wait", "--pipe", "--property=DynamicUser=yes", $"--property=User={user}", "busctl", "call", "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", .. call,
    ]);

    /// <summary>Has polkit read its rules now: it watches the folder, and tells nobody when it has read it.</summary>
    internal Task RestartPolkitAsync() => RunAsync("sh", "-c", "systemctl reset-failed polkit; systemctl restart polkit"); // the first for the limit on starts

    /// <summary>Makes the service's user, so that it is in /etc/passwd; does nothing if it is.</summary>
    internal Task MakeUserAsync() => RunAsync("sh", "-c", "grep -q ^llm-proxy: /etc/passwd || useradd --system --no-create-home llm-proxy");
}

/// <summary>The tests that use one box after the other.</summary>
[CollectionDefinition(WorkflowBox.Shared)]
public sealed class WorkflowBoxTests : ICollectionFixture<WorkflowBox>;
