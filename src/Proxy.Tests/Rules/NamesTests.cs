using System.Globalization;
using System.Text.RegularExpressions;

namespace Proxy.Tests.Rules;

/// <summary>Checks names and numbers that must stay unique and consistent.</summary>
public sealed class NamesTests
{
    /// <summary>The log's event ids, by folder. A new folder takes the next hundred.</summary>
    private static readonly Dictionary<string, int> Hundreds =
        new() { ["Composition"] = 100, ["Backends"] = 200, ["Http"] = 300, ["Cache"] = 500, ["Nats"] = 600,
            ["Transport"] = 700, ["Inference"] = 800, ["Store"] = 900, ["Knowledge"] = 1000, ["Workflows"] = 1100, ["Telemetry"] = 1200,
            ["Traces"] = 1300 };

    [Fact]
    public void Log_events_Have_ids_of_their_own_in_their_folders_hundred()
    {
        var events = (from source in Repository.Sources()
                      from Match said in Regex.Matches(source.Text, @"\[LoggerMessage\((\d+),(?:(?!LoggerMessage)[\s\S])*?EventName = ""([a-z_]+)""\)\]")
                      select (source.Folder, Id: int.Parse(said.Groups[1].Value, CultureInfo.InvariantCulture), Name: said.Groups[2].Value)).ToArray();

        Assert.Equal(Repository.Sources().Sum(s => Regex.Count(s.Text, @"\[LoggerMessage\(")), events.Length); // every event has an id and a name
        Assert.True(events.Length > 10, "nothing was read");
        Assert.Empty(events.GroupBy(e => e.Id).Where(g => g.Count() > 1).Select(g => g.Key).ToArray());
        Assert.Empty(events.GroupBy(e => e.Name).Where(g => g.Count() > 1).Select(g => g.Key).ToArray());
        Assert.Empty(events.Where(e => !Hundreds.TryGetValue(e.Folder, out var from) || e.Id < from || e.Id > from + 99).ToArray());
    }

    [Fact]
    public void Files_Are_named_by_what_they_are()
    {
        var wrong = Repository.Files().Where(f => Regex.IsMatch(Path.GetFileName(f), @"(Manager|Helpers?|Utils?|Utilities|Common|Base|Impl)\.cs$"));

        Assert.Empty(wrong);
    }

    [Fact]
    public void No_file_knows_whose_machine_it_was_written_on()
    {
        var top = "/" + Repository.Root.Split('/')[1] + "/";
        string[] places = ["/bin/", "/boot/", "/dev/", "/etc/", "/home/", "/lib/", "/media/", "/mnt/", "/opt/", "/proc/", "/root/", "/run/", "/srv/", "/sys/",
            "/tmp/", "/usr/", "/var/"];
        var own = places.Contains(top) ? Repository.Root + "/" : top;
        var wrong = from file in Repository.Files()
                    where Path.GetExtension(file) is ".cs" or ".md" or ".sh" or ".toml" or ".csproj" or ".props" or ".json" or ".yml" or ".yaml"
                        or ".service" or ".socket" or ".py" or ".mjs" or ""
                    let text = Repository.Read(file)
                    where Regex.IsMatch(text, @"(?<![\w.])/(home|Users)/[a-z]\w*/") || Regex.IsMatch(text, $@"(?<![\w./-]){Regex.Escape(own)}")
                    select file;

        Assert.Empty(wrong);
    }
}
