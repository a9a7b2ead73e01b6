using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class PostgresUrlTests
{
    [Theory]
    [InlineData("postgres://postgres:postgres@db:5432/openai", "Database=openai Host=db:5432 Password=postgres Username=postgres")]
    [InlineData("postgresql://db", "Host=db")]
    [InlineData("postgres://u@db/", "Host=db Username=u")]
    [InlineData("postgres://u%40x:p%2Fq%3F@db/my%20data", "Database=my data Host=db Password=p/q? Username=u@x")]
    [InlineData("postgres://u:a@b/c@db/d", "Database=d Host=db Password=a@b/c Username=u")]
    [InlineData("postgres://[::1]:5433/d", "Database=d Host=[::1]:5433")]
    [InlineData("postgres://a:1,b:2/d?target_session_attrs=read-write", "Database=d Host=a:1,b:2 Target Session Attributes=read-write")]
    [InlineData("postgres:///d?host=/run/postgresql&user=u", "Database=d Host=/run/postgresql Username=u")]
    [InlineData("postgres://db/d?sslmode=verify-full&sslrootcert=system&connect_timeout=3", "Database=d Host=db SSL Mode=VerifyFull Timeout=3")]
    [InlineData("postgres://db/d?sslmode=require&sslrootcert=/ca.pem", "Database=d Host=db Root Certificate=/ca.pem SSL Mode=VerifyCA")]
    [InlineData("postgres://db/d?sslmode=require", "Database=d Host=db SSL Mode=Require")]
    [InlineData("Host=db;Username=u", "")]
    public void Address_Is_read_as_libpq_reads_it(string url, string expected)
    {
        Assert.True(PostgresUrl.TryParse(url, out var settings, out _));
        Assert.Equal(expected, string.Join(' ', settings.OrderBy(one => one.Key, StringComparer.Ordinal).Select(one => $"{one.Key}={one.Value}")));
    }

    [Theory]
    [InlineData("mysql://u:secret@db/d", "\"mysql://\" is not PostgreSQL")]
    [InlineData("db.example", "write \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"")]
    [InlineData("postgres://u:secret@db:port/d", "\"port\" is not a port")]
    [InlineData("postgres://db:70000/d", "\"70000\" is not a port")]
    [InlineData("postgres://db/d?ssl_mode=require", "the parameter \"ssl_mode\" is not known; write \"sslmode\"")]
    [InlineData("postgres://db/d?sslmode=verify_full", "sslmode=\"verify_full\" is not known; write \"verify-full\"")]
    public void Address_that_cannot_be_meant_Is_refused_without_its_password(string url, string said)
    {
        Assert.False(PostgresUrl.TryParse(url, out _, out var problem));
        Assert.Contains(said, problem, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Problem_of_the_variable_Is_reported_under_its_name()
    {
        var machine = Toml.Machine(new() { ["DATABASE_URL"] = "postgres://db:port/d" });

        Assert.Equal("DATABASE_URL", Assert.Single(ConfigReader.Read("", machine).Problems).Key);
        ConfigReader.ReadEnvironment(machine, out var problems);
        Assert.Equal("DATABASE_URL", Assert.Single(problems).Key);
        Toml.IsRefused("[store]\nurl = \"postgres://db:port/d\"\n", 2, "store.url", "is not a port", Toml.Machine());
    }

    [Theory]
    [InlineData("pg_mine")]
    [InlineData("a-b")]
    [InlineData("")]
    [InlineData("1a")]
    public void Schema_that_is_no_name_Is_refused(string schema) => Toml.IsRefused(
        $"[store]\nurl = \"postgres://db\"\nschema = \"{schema}\"\n", 3, "store.schema", "is not a schema's name", Toml.Machine());

    [Theory]
    [InlineData("", "DATABASE_URL=postgres://db", "")]
    [InlineData("[store]\nurl = \"postgres://db\"\n", "DATABASE_URL=postgres://db", "")]
    [InlineData("[store]\ncontent = true\n", "DATABASE_URL=postgres://db", "")]
    [InlineData("[store]\nurl = \"postgres://other\"\n", "DATABASE_URL=postgres://db", "DATABASE_URL: [store] has a url of its own")]
    [InlineData("[store]\nkind = \"sqlite\"\n", "DATABASE_URL=postgres://db", "DATABASE_URL: [store] has kind = \"sqlite\"")]
    [InlineData("", "DATABASE_URL=mysql://db", "DATABASE_URL: its scheme is not postgres://")]
    [InlineData("", "QDRANT_URL=http://qdrant:6333", "QDRANT_URL: " + UnusedVariables.Qdrant)]
    public void Variable_is_set_and_not_used_It_is_a_line(string file, string variable, string expected)
    {
        var machine = Toml.Machine(new() { [variable.Split('=', 2)[0]] = variable.Split('=', 2)[1], ["STATE_DIRECTORY"] = "/s" });

        var lines = UnusedVariables.Find(Toml.Good(file, machine), machine.Environment).Select(line => $"{line.Name}: {line.Reason}");

        Assert.Equal(expected, string.Join('\n', lines));
    }

    [Fact]
    public void Section_for_Qdrant_Is_refused_and_pgvector_named() =>
        Toml.IsRefused("[qdrant]\nurl = \"http://qdrant:6333\"\n", 1, "qdrant", "PostgreSQL with pgvector");

    [Fact]
    public void State_folder_Has_the_spool() => Assert.Equal(
        "/s/spool", Toml.Good("[store]\nurl = \"postgres://db\"\n", Toml.Machine(new() { ["STATE_DIRECTORY"] = "/s" })).Store?.Spool);
}
